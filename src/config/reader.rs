//! Reads the text of a cluster file into plain structs, noting where every value stands and all that cannot be read.
//!
//! It goes on after a fault: what cannot be read keeps a stand-in and is marked doubtful, so that nothing is concluded from
//! it and no fault is reported for another's sake. A draft with any fault is thrown away.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    id::NodeName,
    membership::{Agreement, Pin, Role},
};

use super::{
    check::clipped,
    cluster::{ClusterConfig, OnStartupTimeout},
    error::{FAULTS_MAX, Wrong},
    key::{KEYS, Key, Rule, Section},
    limits::Limits,
    node::{Address, NodeConfig},
    place::Spot,
    quantity,
    secret::Secret,
};

/// What was read.
pub(super) struct Draft {
    pub(super) cluster: ClusterConfig,
    pub(super) nodes: Vec<NodeConfig>,
    pub(super) secret: Option<String>,
    pub(super) secret_file: Option<String>,
    /// Where values and headers stand, in bytes.
    pub(super) places: BTreeMap<Spot, Range<usize>>,
    /// Keys whose values are stand-ins.
    pub(super) doubtful: BTreeSet<Spot>,
    /// What cannot be read.
    pub(super) faults: Vec<(Spot, Range<usize>, Wrong)>,
}

/// One table of the file and the spot of its header.
#[derive(Clone, Copy)]
struct Table<'t> {
    entries: &'t DeTable<'t>,
    header: Spot,
}

/// Reads a cluster file. The text is at most 1 MiB.
pub(super) fn read(text: &str) -> Draft {
    let (root, broken) = DeTable::parse_recoverable(text);
    let mut draft = Draft {
        cluster: ClusterConfig::new("unread", Secret::new("unread").expect("not blank, not long")),
        nodes: Vec::new(),
        secret: None,
        secret_file: None,
        places: BTreeMap::from([(Spot::FILE, 0..0)]),
        doubtful: BTreeSet::new(),
        faults: Vec::new(),
    };
    if !broken.is_empty() {
        // What a parser recovers from a broken file would only give faults that are none.
        for error in broken {
            let span = error.span().unwrap_or(text.len()..text.len());
            draft.faults.push((Spot::FILE, span, Wrong::NotToml(error.message().to_owned())));
        }
        return draft;
    }
    let file = Table { entries: root.get_ref(), header: Spot::FILE };
    draft.known_keys_only(file);
    if let Some(cluster) = draft.table(file, "cluster", Section::Cluster) {
        draft.read_cluster(cluster);
    }
    draft.read_nodes(file);
    draft
}

impl Draft {
    /// Where the first of these stands that the file writes; else the header of the first; else the start of the file.
    pub(super) fn span(&self, spots: &[Spot]) -> Range<usize> {
        let written = spots.iter().find_map(|spot| self.places.get(spot));
        let header = || spots.first().and_then(|spot| self.places.get(&spot.header()));
        written.or_else(header).cloned().unwrap_or(0..0)
    }

    fn fault(&mut self, spot: Spot, span: Range<usize>, wrong: Wrong) {
        self.doubtful.insert(spot);
        self.faults.push((spot, span, wrong));
    }

    /// Every key is known, and every required one is there.
    fn known_keys_only(&mut self, table: Table<'_>) {
        let section = table.header.section;
        for key in table.entries.keys() {
            let name = key.get_ref().as_ref();
            if Key::find(section, name).is_none() {
                // Beyond what is shown nobody reads the suggestion.
                let told = self.faults.len() < FAULTS_MAX;
                let nearest = if told { Key::nearest(section, name) } else { None };
                if let Some(key) = nearest {
                    // Probably meant for that key, whose default then says nothing.
                    self.doubtful.insert(Spot { key, ..table.header });
                }
                let wrong = Wrong::UnknownKey { key: short(name), nearest };
                self.faults.push((table.header, key.span(), wrong));
            }
        }
        let header = self.places.get(&table.header).cloned().unwrap_or(0..0);
        for key in KEYS.iter().filter(|key| key.section == section && key.required) {
            let spot = Spot { key: key.name, ..table.header };
            if !table.entries.contains_key(key.name) && !self.doubtful.contains(&spot) {
                self.fault(spot, header.clone(), Wrong::Missing);
            }
        }
    }

    /// The value of a key, its place noted.
    fn value<'t>(&mut self, table: Table<'t>, name: &'static str) -> Option<(Spot, &'t Spanned<DeValue<'t>>, Rule)> {
        let value = table.entries.get(name)?;
        let spot = Spot { key: name, ..table.header };
        self.places.insert(spot, value.span());
        let rule = Key::find(spot.section, name).expect("the reader asks for keys of KEYS only").rule;
        Some((spot, value, rule))
    }

    fn table<'t>(&mut self, table: Table<'t>, name: &'static str, section: Section) -> Option<Table<'t>> {
        let (spot, value, _) = self.value(table, name)?;
        let Some(entries) = value.get_ref().as_table() else {
            self.fault(spot, value.span(), Wrong::WrongType { found: found(value.get_ref()) });
            return None;
        };
        let header = Spot { section, node: 0, key: "" };
        self.places.insert(header, value.span());
        let inner = Table { entries, header };
        self.known_keys_only(inner);
        Some(inner)
    }

    fn text<'t>(&mut self, table: Table<'t>, name: &'static str) -> Option<&'t str> {
        let (spot, value, rule) = self.value(table, name)?;
        let Some(text) = value.get_ref().as_str() else {
            self.fault(spot, value.span(), Wrong::WrongType { found: found(value.get_ref()) });
            return None;
        };
        let fits = match rule {
            Rule::Text { fits, .. } => fits(text),
            Rule::Choice(words) => words.contains(&text),
            _ => true,
        };
        if !fits {
            // A secret is not shown, not even a wrong one.
            let value_shown = if matches!(name, "secret" | "redis_password") {
                "blank, or longer than 4096 bytes".to_owned()
            } else {
                clipped(text)
            };
            self.fault(spot, value.span(), Wrong::NotAllowed { value: value_shown });
        }
        fits.then_some(text)
    }

    fn flag(&mut self, table: Table<'_>, name: &'static str, default: bool) -> bool {
        let Some((spot, value, _)) = self.value(table, name) else { return default };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.fault(spot, value.span(), Wrong::WrongType { found: found(value.get_ref()) });
            default
        })
    }

    /// A number in range, or nothing: a count, bytes, or milliseconds, as the key's rule says.
    fn number(&mut self, table: Table<'_>, name: &'static str) -> Option<u64> {
        let (spot, value, rule) = self.value(table, name)?;
        let written = value.get_ref();
        let number = match (rule, written) {
            (Rule::Count { .. } | Rule::Odd { .. } | Rule::Size { .. }, DeValue::Integer(integer)) => {
                u64::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            (Rule::Size { .. }, DeValue::String(text)) => quantity::byte_count(text),
            (Rule::Time { .. }, DeValue::String(text)) => quantity::millis(text),
            _ => {
                self.fault(spot, value.span(), Wrong::WrongType { found: found(written) });
                return None;
            }
        };
        let allowed = number.filter(|number| rule.allows(*number));
        if allowed.is_none() {
            let shown = match written {
                DeValue::Integer(integer) => short(&integer.to_string()),
                other => clipped(other.as_str().unwrap_or_default()),
            };
            self.fault(spot, value.span(), Wrong::NotAllowed { value: shown });
        }
        allowed
    }

    fn count<N: TryFrom<u64>>(&mut self, table: Table<'_>, name: &'static str, default: N) -> N {
        let number = self.number(table, name);
        number.and_then(|number| N::try_from(number).ok()).unwrap_or(default)
    }

    fn time(&mut self, table: Table<'_>, name: &'static str, default: Duration) -> Duration {
        self.number(table, name).map_or(default, Duration::from_millis)
    }

    fn read_cluster(&mut self, table: Table<'_>) {
        if let Some(name) = self.text(table, "name") {
            name.clone_into(&mut self.cluster.name);
        }
        self.secret = self.text(table, "secret").map(str::to_owned);
        self.secret_file = self.text(table, "secret_file").map(str::to_owned);
        self.cluster.redis_password = self.text(table, "redis_password").and_then(Secret::new);
        let defaults = self.cluster.clone();
        self.cluster.arcs = self.count(table, "arcs", defaults.arcs);
        self.cluster.backups = self.count(table, "backups", defaults.backups);
        self.cluster.spread = self.count(table, "spread", defaults.spread);
        self.cluster.pin = self.text(table, "pin").and_then(Pin::named).unwrap_or(defaults.pin);
        self.cluster.agreement = self.agreement(table);
        self.cluster.heartbeat = self.time(table, "heartbeat", defaults.heartbeat);
        self.cluster.suspect_after = self.time(table, "suspect_after", defaults.suspect_after);
        self.cluster.lease = self.time(table, "lease", defaults.lease);
        if self.text(table, "reads") == Some("confirmed") {
            self.not_yet(Spot::cluster("reads"), "\"leased\", which is as exact while clocks keep their rates");
        }
        if self.text(table, "when_solo") == Some("refuse") {
            self.not_yet(
                Spot::cluster("when_solo"),
                "\"serve\", and look at `fully_protected` before what must not be lost",
            );
        }
        self.cluster.replicate_on_read = self.flag(table, "replicate_on_read", false);
        self.cluster.voters_max = self.count(table, "voters_max", defaults.voters_max);
        self.cluster.startup_timeout = self.time(table, "startup_timeout", defaults.startup_timeout);
        if self.text(table, "on_startup_timeout") == Some("wait") {
            self.cluster.on_startup_timeout = OnStartupTimeout::Wait;
        }
        self.cluster.max_hops = self.count(table, "max_hops", defaults.max_hops);
        self.cluster.reply_keep = self.time(table, "reply_keep", defaults.reply_keep);
        self.cluster.insecure = self.flag(table, "insecure", false);
        if let Some(limits) = self.table(table, "limits", Section::Limits) {
            self.cluster.limits = self.read_limits(limits, &defaults.limits);
        }
        if let Some(tls) = self.table(table, "tls", Section::Tls) {
            for key in ["cert", "key", "ca"] {
                self.text(tls, key);
            }
            self.not_yet(
                Spot::cluster("tls"),
                "loopback addresses, or `insecure = true` on a network that nobody else can reach",
            );
        }
    }

    fn agreement(&mut self, table: Table<'_>) -> Agreement {
        // Worth an answer of its own: who asks for availability first should learn why not.
        if let Some((spot, value, _)) = self.value(table, "agreement")
            && value.get_ref().as_str() == Some("ring")
        {
            self.not_yet(
                spot,
                "\"majority\", or \"majority_or_proof\" to go on with half of the voters; \"ring\" would give up that \
                 nothing acknowledged is lost",
            );
            return Agreement::Majority;
        }
        match self.text(table, "agreement") {
            Some("majority_or_proof") => Agreement::MajorityOrProof,
            _ => Agreement::Majority,
        }
    }

    fn not_yet(&mut self, spot: Spot, instead: &'static str) {
        self.fault(spot, self.span(&[spot]), Wrong::NotYet { instead });
    }

    fn read_limits(&mut self, table: Table<'_>, defaults: &Limits) -> Limits {
        Limits {
            value: self.count(table, "value", defaults.value),
            frame: self.count(table, "frame", defaults.frame),
            window_bytes: self.count(table, "window_bytes", defaults.window_bytes),
            queue: self.count(table, "queue", defaults.queue),
            dedicated: self.count(table, "dedicated", defaults.dedicated),
            tasks: self.count(table, "tasks", defaults.tasks),
            connections: self.count(table, "connections", defaults.connections),
            unauthenticated: self.count(table, "unauthenticated", defaults.unauthenticated),
            handshake: self.time(table, "handshake", defaults.handshake),
            replies_per_client: self.count(table, "replies_per_client", defaults.replies_per_client),
            clients_per_session: self.count(table, "clients_per_session", defaults.clients_per_session),
            calls: self.count(table, "calls", defaults.calls),
            subscribers: self.count(table, "subscribers", defaults.subscribers),
            catch_up_chunk: self.count(table, "catch_up_chunk", defaults.catch_up_chunk),
            catch_up_chunks: self.count(table, "catch_up_chunks", defaults.catch_up_chunks),
            hand_backs: self.count(table, "hand_backs", defaults.hand_backs),
            uncommitted: self.count(table, "uncommitted", defaults.uncommitted),
            waiting: self.count(table, "waiting", defaults.waiting),
            idle_after: self.time(table, "idle_after", defaults.idle_after),
            live: self.count(table, "live", defaults.live),
            ack_after: self.time(table, "ack_after", defaults.ack_after),
            shun: self.time(table, "shun", defaults.shun),
        }
    }

    fn read_nodes(&mut self, file: Table<'_>) {
        let Some((spot, value, _)) = self.value(file, "node") else { return };
        let nodes = value.get_ref().as_array().filter(|nodes| !nodes.is_empty());
        let Some(nodes) = nodes else {
            self.fault(spot, value.span(), Wrong::WrongType { found: found(value.get_ref()) });
            return;
        };
        for (index, node) in nodes.iter().enumerate() {
            let header = Spot::node(index, "");
            self.places.insert(header, node.span());
            match node.get_ref().as_table() {
                Some(entries) => self.read_node(Table { entries, header }),
                None => self.fault(spot, node.span(), Wrong::WrongType { found: found(node.get_ref()) }),
            }
        }
    }

    fn read_node(&mut self, table: Table<'_>) {
        self.known_keys_only(table);
        // Stand-ins for what cannot be read: the fault that is then noted makes sure that nobody sees them.
        let name = self.text(table, "name").and_then(NodeName::new);
        let name = name.unwrap_or_else(|| NodeName::new("unread").expect("plain letters"));
        let cluster = self.address(table, "cluster");
        let cluster = cluster.unwrap_or_else(|| Address::new("localhost:1").expect("a host and a port"));
        let role = match self.text(table, "role") {
            Some("backup_only") => Role::BackupOnly,
            Some("edge") => Role::Edge,
            Some("witness") => Role::Witness,
            _ => Role::Host,
        };
        let weight = self.count(table, "weight", 1);
        let node = NodeConfig {
            weight,
            bind: self.address(table, "bind"),
            http: self.address(table, "http"),
            redis: self.address(table, "redis"),
            zone: self.text(table, "zone").map(str::to_owned),
            role,
            public_url: self.text(table, "public_url").map(str::to_owned),
            ..NodeConfig::new(name, cluster)
        };
        self.nodes.push(node);
    }

    fn address(&mut self, table: Table<'_>, name: &'static str) -> Option<Address> {
        self.text(table, name).and_then(Address::new)
    }
}

/// What stands where something else belongs.
fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(array) if array.is_empty() => "an empty list",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A key or number as written, cut where nobody would read on.
fn short(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}
