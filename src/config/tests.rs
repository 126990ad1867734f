//! A cluster file is taken or refused as a whole, and every refusal points at the place.

use std::{fs, io, time::Duration};

use proptest::prelude::*;

use super::{
    key::{KEYS, Rule},
    *,
};
use crate::{
    id::{Incarnation, NodeName},
    membership::{Agreement, Pin, Role},
};

const NODES: &str = "[[node]]\nname = \"a\"\ncluster = \"127.0.0.1:7101\"\n[[node]]\nname = \"b\"\ncluster = \"127.0.0.1:7102\"\n\
                     [[node]]\nname = \"c\"\ncluster = \"127.0.0.1:7103\"\n";

/// A good file of three nodes; `more` begins at line 4, in `[cluster]`.
fn with(more: &str) -> String {
    format!("[cluster]\nname = \"shop\"\nsecret = \"hush\"\n{more}\n{NODES}")
}

/// A good `[cluster]` of three lines; `nodes` begins at line 4.
fn nodes(nodes: &str) -> String {
    format!("[cluster]\nname = \"shop\"\nsecret = \"hush\"\n{nodes}")
}

fn good(text: &str) -> ClusterFile {
    ClusterFile::from_str(text, "cluster.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(text: &str) -> ConfigError {
    ClusterFile::from_str(text, "cluster.toml").expect_err("must be refused")
}

/// Where and what, for every fault.
fn faults(text: &str) -> Vec<(String, Wrong)> {
    let place = |fault: &ConfigFault| fault.position().map_or(String::new(), |position| position.to_string());
    refusal(text).faults().iter().map(|fault| (place(fault), fault.wrong().clone())).collect()
}

fn one(place: &str, wrong: Wrong) -> Vec<(String, Wrong)> {
    vec![(place.to_owned(), wrong)]
}

fn not_allowed(value: &str) -> Wrong {
    Wrong::NotAllowed { value: value.to_owned() }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn name(text: &str) -> NodeName {
    NodeName::new(text).expect("a node name")
}

#[test]
fn the_example_is_four_nodes_with_every_default() {
    let file = good(include_str!("../../examples/cluster.toml"));
    let secret = Secret::new("change-me").expect("not blank");
    assert_eq!(file.cluster(), &ClusterConfig::new("shop", secret));
    assert_eq!(file.nodes().iter().map(|node| node.name.as_str()).collect::<String>(), "abcd");
    assert_eq!(file.notes(), []);
}

#[test]
fn every_default_written_out_gives_what_its_absence_gives() {
    let of = |section| {
        let written = |key: &&key::Key| key.section == section && !key.default.is_empty();
        let line = |key: &key::Key| match key.rule {
            Rule::Time { .. } | Rule::Choice(_) | Rule::Size { .. } => format!("{} = \"{}\"\n", key.name, key.default),
            _ => format!("{} = {}\n", key.name, key.default),
        };
        KEYS.iter().filter(written).map(line).collect::<String>()
    };
    let spelled = format!("{}[cluster.limits]\n{}", of(Section::Cluster), of(Section::Limits));
    assert_eq!(spelled.matches(" = ").count(), 39, "{spelled}");
    assert_eq!(good(&with(&spelled)), good(&with("")));
}

#[test]
fn every_key_is_read_into_its_field() {
    let file = good(
        r#"
        [cluster]
        name = "shop"
        secret = "hush"
        arcs = 16384
        backups = 3
        spread = 2
        pin = "on_drain"
        agreement = "majority_or_proof"
        heartbeat = "50ms"
        suspect_after = "1s"
        lease = "300ms"
        reads = "leased"
        when_solo = "serve"
        replicate_on_read = true
        voters_max = 7
        startup_timeout = "1m"
        on_startup_timeout = "wait"
        max_hops = 5
        reply_keep = "1h"
        redis_password = "say this"
        insecure = true
        [cluster.limits]
        value = 2_097_152
        frame = "3MiB"
        window_bytes = "5MiB"
        queue = 17
        dedicated = 29
        tasks = 30
        connections = 18
        unauthenticated = 5
        handshake = "3s"
        replies_per_client = 19
        clients_per_session = 20
        calls = 21
        subscribers = 22
        catch_up_chunk = "4KiB"
        catch_up_chunks = 25
        hand_backs = 31
        uncommitted = 26
        waiting = 27
        idle_after = "2m"
        live = "28MiB"
        ack_after = "4s"
        shun = "6s"
        [[node]]
        name = "a"
        cluster = "10.0.0.1:7101"
        bind = "0.0.0.0:7111"
        http = "0.0.0.0:7201"
        redis = "10.0.0.1:7301"
        zone = "rack1"
        role = "host"
        weight = 12
        public_url = "http://a.example"
        [[node]]
        name = "b"
        cluster = "b.example:7101"
        role = "backup_only"
        [[node]]
        name = "e"
        cluster = "e.example:7101"
        role = "edge"
        [[node]]
        name = "w"
        cluster = "w.example:7101"
        role = "witness"
        "#,
    );
    let limits = Limits {
        value: 2 << 20,
        frame: 3 << 20,
        window_bytes: 5 << 20,
        queue: 17,
        dedicated: 29,
        tasks: 30,
        connections: 18,
        unauthenticated: 5,
        handshake: Duration::from_secs(3),
        replies_per_client: 19,
        clients_per_session: 20,
        calls: 21,
        subscribers: 22,
        catch_up_chunk: 4 << 10,
        catch_up_chunks: 25,
        hand_backs: 31,
        uncommitted: 26,
        waiting: 27,
        idle_after: Duration::from_secs(120),
        live: 28 << 20,
        ack_after: Duration::from_secs(4),
        shun: Duration::from_secs(6),
    };
    let cluster = ClusterConfig {
        redis_password: Secret::new("say this"),
        name: "shop".to_owned(),
        secret: Secret::new("hush").expect("not blank"),
        arcs: 16_384,
        backups: 3,
        spread: 2,
        pin: Pin::OnDrain,
        agreement: Agreement::MajorityOrProof,
        heartbeat: millis(50),
        suspect_after: millis(1_000),
        lease: millis(300),
        reads: Reads::Leased,
        when_solo: WhenSolo::Serve,
        replicate_on_read: true,
        voters_max: 7,
        startup_timeout: Duration::from_secs(60),
        on_startup_timeout: OnStartupTimeout::Wait,
        max_hops: 5,
        reply_keep: Duration::from_secs(3_600),
        insecure: true,
        limits,
    };
    assert_eq!(file.cluster(), &cluster);
    let address = |text| Some(Address::new(text).expect("host:port"));
    let a = NodeConfig {
        name: name("a"),
        cluster: Address::new("10.0.0.1:7101").expect("host:port"),
        bind: address("0.0.0.0:7111"),
        http: address("0.0.0.0:7201"),
        redis: address("10.0.0.1:7301"),
        zone: Some("rack1".to_owned()),
        role: Role::Host,
        weight: 12,
        public_url: Some("http://a.example".to_owned()),
    };
    assert_eq!(file.nodes()[0], a);
    let roles: Vec<_> = file.nodes().iter().map(|node| node.role).collect();
    assert_eq!(roles, [Role::Host, Role::BackupOnly, Role::Edge, Role::Witness]);
}

#[test]
fn an_unknown_key_is_refused_and_the_known_one_suggested() {
    let unknown = |key: &str, nearest| Wrong::UnknownKey { key: key.to_owned(), nearest };
    assert_eq!(faults(&with("  hartbeat = \"1s\"")), one("4:3", unknown("hartbeat", Some("heartbeat"))));
    assert_eq!(faults(&with("colour = 1")), one("4:1", unknown("colour", None)));
    assert_eq!(faults(&with("[cluster.limits]\nframes = 1")), one("5:1", unknown("frames", Some("frame"))));
    assert_eq!(faults(&nodes(&NODES.replacen("name", "nmae", 1))), one("5:1", unknown("nmae", Some("name"))));
    assert_eq!(faults(&format!("nodes = 1\n{}", with(""))), one("1:1", unknown("nodes", Some("node"))));
}

#[test]
fn a_key_written_twice_is_refused() {
    let found = faults(&with("arcs = 4\narcs = 8"));
    assert_eq!(found, one("5:1", Wrong::NotToml("duplicate key".to_owned())));
}

#[test]
fn what_is_not_toml_is_refused_with_every_break_and_nothing_else() {
    let found = faults(&with("arcs = four\nspread = 1 1"));
    assert_eq!(found.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(), ["4:8", "5:10"]);
    assert!(found.iter().all(|(_, wrong)| matches!(wrong, Wrong::NotToml(_))), "{found:?}");
}

#[test]
fn required_keys_are_asked_for_where_they_are_missing() {
    assert_eq!(faults(""), [("1:1".to_owned(), Wrong::Missing), ("1:1".to_owned(), Wrong::Missing)]);
    assert_eq!(faults(&format!("[cluster]\nsecret = \"hush\"\n{NODES}")), one("1:1", Wrong::Missing));
    assert_eq!(faults(&nodes("[[node]]\nname = \"a\"")), one("4:1", Wrong::Missing));
    assert_eq!(faults(&nodes("")), one("1:1", Wrong::Missing));
    assert_eq!(
        faults("node = []\n[cluster]\nname = \"s\"\nsecret = \"h\""),
        one("1:8", Wrong::WrongType { found: "an empty list" })
    );
}

#[test]
fn a_value_of_the_wrong_type_is_refused() {
    let wrong = |found| Wrong::WrongType { found };
    assert_eq!(faults(&with("arcs = \"1024\"")), one("4:8", wrong("text")));
    assert_eq!(faults(&with("lease = 200")), one("4:9", wrong("a whole number")));
    assert_eq!(faults(&with("insecure = \"yes\"")), one("4:12", wrong("text")));
    assert_eq!(faults(&with("limits = 3")), one("4:10", wrong("a whole number")));
    assert_eq!(faults(&nodes("[node]\nname = \"a\"")), one("4:1", wrong("a table")));
    assert_eq!(
        faults("cluster = 1.5\nnode = [1]"),
        [("1:11".to_owned(), wrong("a number with a fraction")), ("2:9".to_owned(), wrong("a whole number"))]
    );
}

#[test]
fn a_bad_duration_or_size_is_refused() {
    for bad in ["0.5s", "5 s", "-5s", "5", "5d", "soon", ""] {
        assert_eq!(faults(&with(&format!("lease = \"{bad}\""))), one("4:9", not_allowed(&format!("{bad:?}"))));
    }
    assert_eq!(faults(&with("[cluster.limits]\nvalue = \"1MB\"")), one("5:9", not_allowed("\"1MB\"")));
    assert_eq!(faults(&with("[cluster.limits]\nvalue = -1")), one("5:9", not_allowed("-1")));
}

#[test]
fn every_number_is_refused_just_outside_its_range() {
    for key in KEYS {
        let (below, above) = match key.rule {
            Rule::Count { min, max } | Rule::Size { min, max } | Rule::Time { min, max } => {
                (min.checked_sub(1), max + 1)
            }
            Rule::Odd { max } => (Some(0), max + 1),
            _ => continue,
        };
        for number in below.into_iter().chain([above]) {
            let (value, shown) = match key.rule {
                Rule::Time { .. } => (format!("\"{number}ms\""), format!("\"{number}ms\"")),
                _ => (number.to_string(), number.to_string()),
            };
            let written = format!("{} = {value}", key.name);
            let (text, line) = match key.section {
                Section::Limits => (with(&format!("[cluster.limits]\n{written}")), 5),
                Section::Node => (format!("{}{written}", with("")), 14),
                _ => (with(&format!("#\n{written}")), 5),
            };
            let place = format!("{line}:{}", key.name.len() + 4);
            assert_eq!(faults(&text), one(&place, not_allowed(&shown)), "{}", key.name);
        }
    }
}

#[test]
fn an_even_number_of_voters_is_refused() {
    assert_eq!(faults(&with("voters_max = 4")), one("4:14", not_allowed("4")));
    assert_eq!(faults(&with("voters_max = 0")), one("4:14", not_allowed("0")));
}

#[test]
fn arcs_are_1_to_16384() {
    assert_eq!(faults(&with("arcs = 0")), one("4:8", not_allowed("0")));
    assert_eq!(faults(&with("arcs = 16385")), one("4:8", not_allowed("16385")));
    assert_eq!(good(&with("arcs = 0x10")).cluster().arcs, 16);
}

#[test]
fn a_word_that_is_none_of_the_choices_is_refused() {
    assert_eq!(faults(&with("when_solo = \"pray\"")), one("4:13", not_allowed("\"pray\"")));
    assert_eq!(faults(&nodes(&format!("{NODES}role = \"boss\""))), one("13:8", not_allowed("\"boss\"")));
}

#[test]
fn what_does_not_exist_yet_is_refused_with_what_to_use_instead() {
    let lines =
        [("agreement = \"ring\"", "4:13"), ("reads = \"confirmed\"", "4:9"), ("when_solo = \"refuse\"", "4:13")];
    for (line, place) in lines {
        let refused = refusal(&with(line));
        assert_eq!(refused.faults().len(), 1, "{refused}");
        assert!(matches!(refused.faults()[0].wrong(), Wrong::NotYet { .. }), "{refused}");
        assert_eq!(refused.faults()[0].position().expect("in the file").to_string(), place);
        assert!(refused.to_string().contains("not yet"), "{refused}");
    }
    let tls = with("[cluster.tls]\ncert = \"a.crt\"\nkey = \"a.key\"\nca = 7");
    let found = faults(&tls);
    assert_eq!(found[1], ("7:6".to_owned(), Wrong::WrongType { found: "a whole number" }));
    assert!(matches!(&found[0], (place, Wrong::NotYet { .. }) if place == "4:1"), "{found:?}");
    assert_eq!(found.len(), 2);
}

#[test]
fn the_durations_must_fit_each_other() {
    let found = faults(&with("lease = \"600ms\""));
    assert_eq!(found, one("4:9", Wrong::LeaseTooLong { lease: millis(600), suspect_after: millis(600) }));
    let found = faults(&with("lease = \"199ms\""));
    assert_eq!(found, one("4:9", Wrong::LeaseTooShort { lease: millis(199), heartbeat: millis(100) }));
    let found = faults(&with("heartbeat = \"201ms\"\nlease = \"500ms\""));
    assert_eq!(found, one("4:13", Wrong::HeartbeatTooSlow { heartbeat: millis(201), suspect_after: millis(600) }));
    let found = faults(&with("reply_keep = \"5s\"\nsuspect_after = \"5s\""));
    let (reply_keep, suspect_after) = (millis(5_000), millis(5_000));
    assert_eq!(found, one("4:14", Wrong::ReplyKeepTooShort { reply_keep, suspect_after }));
    good(&with("heartbeat = \"200ms\"\nlease = \"400ms\"\nsuspect_after = \"600ms\""));
}

#[test]
fn where_the_blamed_key_is_not_written_the_other_is_shown() {
    let found = faults(&with("\nsuspect_after = \"200ms\"\nheartbeat = \"50ms\""));
    assert_eq!(found, one("5:17", Wrong::LeaseTooLong { lease: millis(200), suspect_after: millis(200) }));
}

#[test]
fn nothing_is_concluded_from_a_value_that_cannot_be_read() {
    assert_eq!(faults(&with("lease = \"soon\"\nsuspect_after = \"150ms\"\nheartbeat = \"50ms\"")).len(), 1);
    assert_eq!(faults(&with("hartbeat = \"10ms\"\nlease = \"20ms\"")).len(), 1);
}

#[test]
fn the_limits_must_fit_each_other() {
    let too_small = |key: &str, line: &str, place: &str, least: u64| {
        let refused = refusal(&with(&format!("[cluster.limits]\n{line}")));
        let fault = &refused.faults()[0];
        assert_eq!((refused.faults().len(), fault.spot().key), (1, key), "{refused}");
        assert_eq!(fault.position().expect("in the file").to_string(), place);
        assert!(matches!(fault.wrong(), Wrong::LimitTooSmall { at_least, .. } if *at_least == least), "{refused}");
    };
    too_small("frame", "value = \"4MiB\"", "5:9", (4 << 20) + (64 << 10));
    too_small("window_bytes", "frame = \"9MiB\"", "5:9", 9 << 20);
    too_small("connections", "unauthenticated = 1025", "5:19", 1025);
    too_small("frame", "catch_up_chunk = \"5MiB\"", "5:18", 5 << 20);
    too_small("shun", "ack_after = \"6s\"", "5:13", 6_000);
}

#[test]
fn connections_must_do_for_the_other_nodes() {
    let many: String = (0..7).map(|i| format!("[[node]]\nname = \"n{i}\"\ncluster = \"127.0.0.1:710{i}\"\n")).collect();
    let limits = "[cluster.limits]\nunauthenticated = 4\nconnections = 17\n";
    let because = "each other node of the cluster keeps three";
    let found = faults(&nodes(&format!("{limits}{many}")));
    assert_eq!(found, one("6:15", Wrong::LimitTooSmall { at_least: 18, because }));
}

#[test]
fn a_name_used_twice_is_refused_and_the_first_use_named() {
    let first = Spot { section: Section::Node, node: 0, key: "name" };
    let wrong = Wrong::Duplicate { value: "a".to_owned(), first, first_line: Some(5) };
    assert_eq!(faults(&nodes(&NODES.replace("\"c\"", "\"a\""))), one("11:8", wrong));
}

#[test]
fn an_address_used_twice_is_refused_however_it_is_spelled() {
    let first = Spot { section: Section::Node, node: 0, key: "cluster" };
    let wrong = |value: &str| Wrong::Duplicate { value: value.to_owned(), first, first_line: Some(6) };
    let text = nodes(&NODES.replace("127.0.0.1:7102", "localhost:7101"));
    assert_eq!(faults(&text), one("9:11", wrong("localhost:7101")));
    let text = nodes(&format!("{NODES}http = \"127.0.0.1:7101\""));
    assert_eq!(faults(&text), one("13:8", wrong("127.0.0.1:7101")));
    let own = nodes("[[node]]\nname = \"a\"\ncluster = \"127.0.0.1:7101\"\nhttp = \"127.0.0.1:7101\"");
    assert_eq!(faults(&own), one("7:8", wrong("127.0.0.1:7101")));
}

#[test]
fn a_name_that_is_no_node_name_is_refused() {
    assert_eq!(faults(&nodes(&NODES.replace("\"b\"", "\"b b\""))), one("8:8", not_allowed("\"b b\"")));
    assert_eq!(faults(&nodes(&NODES.replace("\"b\"", "\"\""))), one("8:8", not_allowed("\"\"")));
}

#[test]
fn an_address_zone_or_url_of_the_wrong_form_is_refused() {
    let node = |line: &str| nodes(&format!("{NODES}{line}"));
    assert_eq!(faults(&node("http = \"7201\"")), one("13:8", not_allowed("\"7201\"")));
    assert_eq!(faults(&node("redis = \"127.0.0.1:0\"")), one("13:9", not_allowed("\"127.0.0.1:0\"")));
    assert_eq!(faults(&node("zone = \" \"")), one("13:8", not_allowed("\" \"")));
    assert_eq!(faults(&node("public_url = \"a.example\"")), one("13:14", not_allowed("\"a.example\"")));
}

#[test]
fn an_address_outside_loopback_needs_the_word_insecure() {
    let outside = nodes(&NODES.replace("127.0.0.1:7102", "10.0.0.2:7102"));
    assert_eq!(faults(&outside), one("9:11", Wrong::NeedsTls { address: "10.0.0.2:7102".to_owned() }));
    good(&outside.replace("secret =", "insecure = true\nsecret ="));
    let http = nodes(&format!("{NODES}http = \"0.0.0.0:80\""));
    assert_eq!(faults(&http), one("13:8", Wrong::NeedsTls { address: "0.0.0.0:80".to_owned() }));
}

#[test]
fn an_address_that_nobody_can_dial_is_refused() {
    let every = nodes(&NODES.replace("127.0.0.1:7102", "[::]:7102")).replace("secret =", "insecure = true\nsecret =");
    assert_eq!(faults(&every), one("10:11", Wrong::NotDialable { address: "[::]:7102".to_owned() }));
}

#[test]
fn a_cluster_without_a_host_is_refused() {
    let edge = "[[node]]\nname = \"a\"\ncluster = \"127.0.0.1:7101\"\nrole = \"edge\"";
    assert_eq!(faults(&nodes(edge)), one("7:8", Wrong::NoHost));
}

#[test]
fn more_nodes_than_a_cluster_may_have_are_refused() {
    let many = |nodes: usize| -> String {
        (0..nodes).map(|i| format!("[[node]]\nname = \"n{i}\"\ncluster = \"127.0.0.1:{}\"\n", 7000 + i)).collect()
    };
    good(&nodes(&many(NODES_MAX)));
    assert_eq!(faults(&nodes(&many(NODES_MAX + 1))), one("4:1", Wrong::TooManyNodes { nodes: NODES_MAX + 1 }));
}

#[test]
fn a_missing_blank_or_doubled_secret_is_refused() {
    let secret = |lines: &str| format!("[cluster]\nname = \"shop\"\n{lines}\n{NODES}");
    assert_eq!(faults(&secret("")), one("1:1", Wrong::SecretMissing));
    assert_eq!(faults(&secret("secret = \" \"")), one("3:10", not_allowed("blank, or longer than 4096 bytes")));
    let twice = secret("secret = \"hush\"\nsecret_file = \"no-such-file\"");
    assert_eq!(faults(&twice), one("4:15", Wrong::SecretTwice));
}

/// A folder of its own for one test, gone afterwards.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ringheir-config-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_secret_file_is_found_beside_the_cluster_file_and_its_line_end_dropped() {
    let folder = Folder::new("found");
    let file = folder.0.join("cluster.toml");
    fs::write(folder.0.join("key"), " hush \r\n").expect("writable");
    fs::write(&file, with("").replace("secret = \"hush\"", "secret_file = \"key\"")).expect("writable");
    let read = ClusterFile::read_in(&file, &Environment::default()).expect("a good file");
    assert_eq!(read.cluster().secret.as_bytes(), b" hush ");
}

#[test]
fn a_secret_file_that_cannot_be_used_is_refused() {
    let folder = Folder::new("unfit");
    let name = folder.0.join("cluster.toml").display().to_string();
    let text = with("").replace("secret = \"hush\"", "secret_file = \"key\"");
    let path = folder.0.join("key");
    let shown = path.display().to_string();
    let wrong = || {
        let refused = ClusterFile::from_str(&text, &name).expect_err("must be refused");
        let faults: Vec<_> = refused.faults().iter().map(|f| (f.position(), f.wrong().clone())).collect();
        assert_eq!((faults.len(), faults[0].0), (1, Some(Position { line: 3, column: 15 })));
        faults[0].1.clone()
    };
    assert_eq!(wrong(), Wrong::SecretFileUnreadable { path: shown.clone(), kind: io::ErrorKind::NotFound });
    for unfit in [&b"\n"[..], &[0xff, 0xfe], &[b's'; SECRET_MAX + 3]] {
        fs::write(&path, unfit).expect("writable");
        assert_eq!(wrong(), Wrong::SecretFileUnfit { path: shown.clone() });
    }
}

#[test]
fn the_environments_secret_goes_before_the_files() {
    let environment = |secret: &str| Environment { secret: Some(secret.into()), name: None };
    let read = |text: &str, secret| ClusterFile::from_str_in(text, "cluster.toml", &environment(secret));
    let none = with("").replace("secret = \"hush\"", "");
    let unreadable = with("").replace("secret = \"hush\"", "secret_file = \"no-such-file\"");
    for text in [with(""), none, unreadable] {
        assert_eq!(read(&text, "louder").expect("a good file").cluster().secret.as_bytes(), b"louder");
    }
    let refused = read(&with(""), "").expect_err("must be refused");
    assert_eq!(refused.faults()[0].wrong(), &Wrong::EnvironmentUnfit("RINGHEIR_SECRET"));
    assert_eq!(refused.faults()[0].position(), None);
}

#[test]
fn a_node_learns_its_name_from_the_command_line_then_from_the_environment() {
    let file = good(&with(""));
    let environment = |name: &str| Environment { secret: None, name: Some(name.into()) };
    let named = |flag, environment| file.this_node(flag, &environment).map(|node| node.name.as_str().to_owned());
    assert_eq!(named(Some("b"), environment("c")), Ok("b".to_owned()));
    assert_eq!(named(None, environment("c")), Ok("c".to_owned()));
    let wrong = |flag, environment| named(flag, environment).expect_err("must be refused").faults()[0].wrong().clone();
    assert_eq!(wrong(None, Environment::default()), Wrong::NodeNotNamed);
    assert_eq!(wrong(None, environment("")), Wrong::EnvironmentUnfit("RINGHEIR_NAME"));
    let refused = file.this_node(Some("B"), &environment("c")).expect_err("there is none");
    let words = "there is no node named \"B\"\n  right: the name of a [[node]] in the file: a, b, c";
    assert_eq!(refused.to_string(), words);
}

#[test]
fn several_faults_are_reported_at_once_in_file_order() {
    let text = format!("{}zone = 1\n", with("lease = \"soon\"\ncolour = 1\narcs = 0\nheartbeat = \"9s\""));
    let places: Vec<_> = faults(&text).into_iter().map(|(place, _)| place).collect();
    assert_eq!(places, ["4:9", "5:1", "6:8", "7:13", "17:8"]);
}

#[test]
fn faults_without_end_are_cut_and_counted() {
    let many: String = (0..1_000).map(|i| format!("colour{i} = 1\n")).collect();
    let refused = refusal(&with(&many));
    assert_eq!((refused.faults().len(), refused.more()), (FAULTS_MAX, 1_000 - FAULTS_MAX));
    assert!(refused.to_string().ends_with("and 936 more"));
    let long = "#".repeat(FILE_MAX + 1);
    assert_eq!(faults(&long), one("", Wrong::TooLong));
}

#[test]
fn an_error_shows_file_place_line_and_caret() {
    let expected = "\
cluster.toml:4:9: `lease` (600ms) is not shorter than `suspect_after` (600ms)
  |
4 | lease = \"600ms\"
  |         ^^^^^^^
  right: a `lease` below 600ms, or a longer `suspect_after`";
    assert_eq!(refusal(&with("lease = \"600ms\"")).to_string(), expected);
    let expected = "\
cluster.toml:4:1: unknown key `hartbeat` in [cluster]
  |
4 | hartbeat = \"50ms\"
  | ^^^^^^^^
  right: `heartbeat`, if that is what was meant";
    assert_eq!(refusal(&with("hartbeat = \"50ms\"")).to_string(), expected);
}

#[test]
fn no_error_shows_the_secret() {
    for line in
        ["secret = hush", "secret = \"hush", "secret = [\"hush\"]", "secrets = \"hush\"", "\"secret\" = 'hush' x"]
    {
        let refused = refusal(&with("").replace("secret = \"hush\"", line));
        let (shown, debugged) = (refused.to_string(), format!("{refused:?}"));
        assert!(!shown.contains("hush") && !debugged.contains("hush"), "{line}: {shown}\n{debugged}");
    }
    assert!(!format!("{:?}", good(&with(""))).contains("hush"));
}

#[test]
fn a_file_that_is_not_there_is_an_error_that_names_it() {
    let error = ClusterFile::read("no/such/cluster.toml").expect_err("must be refused");
    assert_eq!(error.faults()[0].wrong(), &Wrong::Unreadable(io::ErrorKind::NotFound));
    assert!(error.to_string().starts_with("no/such/cluster.toml: cannot be read: there is no such file\n"), "{error}");
}

#[test]
fn notes_say_what_an_allowed_configuration_costs() {
    let notes = |text: &str| {
        let line = |note: &Note| note.position.map(|position| position.line);
        good(text).notes().iter().map(|note| (line(note), note.advice.clone())).collect::<Vec<_>>()
    };
    let two = NODES.split("[[node]]\nname = \"c\"").next().expect("a first part");
    assert_eq!(notes(&nodes(two)), [(None, Advice::TwoVoters)]);
    let proof = nodes(two).replace("secret =", "agreement = \"majority_or_proof\"\nsecret =");
    assert_eq!(notes(&proof), []);
    assert_eq!(notes(&nodes(&format!("{NODES}role = \"witness\""))), []);
    assert_eq!(notes(&with("backups = 3")), [(Some(4), Advice::FewerCopies { backups: 3, holders: 3 })]);
    assert_eq!(notes(&with("backups = 0")), [(Some(4), Advice::NoBackups)]);
    let idle = format!(
        "{}role = \"witness\"\n{}role = \"witness\"\n",
        with("voters_max = 1"),
        "[[node]]\nname = \"w\"\ncluster = \"127.0.0.1:9\"\n"
    );
    assert_eq!(notes(&idle), [(Some(18), Advice::IdleWitness(name("w")))]);
    let example = with("insecure = true").replace("hush", "change-me").replace("127.0.0.1:7103", "10.0.0.3:7103");
    assert_eq!(notes(&example), [(Some(3), Advice::ExampleSecret)]);
}

#[test]
fn a_redis_port_that_others_reach_without_a_password_is_noted_once() {
    let open = |more: &str, address: &str| {
        good(&with(more).replace("name = \"b\"", &format!("name = \"b\"\nredis = \"{address}:7302\"")))
    };
    let noted = |file: &ClusterFile| file.notes().iter().map(|note| note.advice.clone()).collect::<Vec<_>>();
    for address in ["10.0.0.2", "0.0.0.0", "node-b"] {
        let file = open("insecure = true", address);
        assert_eq!(noted(&file), [Advice::OpenRedis(name("b"))], "{address}");
        let note = file.notes()[0].to_string();
        assert!(note.starts_with("line 1") && note.contains("`redis_password`"), "{note}");
        assert_eq!(noted(&open("insecure = true\nredis_password = \"say this\"", address)), [], "{address}");
    }
    for address in ["127.0.0.1", "localhost"] {
        assert_eq!(noted(&open("insecure = true", address)), [], "{address}");
    }
    let two = with("insecure = true")
        .replace("name = \"b\"", "name = \"b\"\nredis = \"10.0.0.2:1\"")
        .replace("name = \"c\"", "name = \"c\"\nredis = \"10.0.0.3:1\"");
    assert_eq!(noted(&good(&two)), [Advice::OpenRedis(name("b"))]);
}

#[test]
fn witnesses_vote_first_then_hosts_in_file_order() {
    let node = |name: &str, role: &str| {
        format!(
            "[[node]]\nname = \"{name}\"\ncluster = \"127.0.0.1:{}\"\nrole = \"{role}\"\n",
            1 + u32::from(name.as_bytes()[0])
        )
    };
    let all = ["d host", "e edge", "c host", "w witness", "b backup_only", "a host"];
    let all: String = all.iter().filter_map(|n| n.split_once(' ')).map(|(name, role)| node(name, role)).collect();
    let voters = |voters_max: &str| {
        let file = good(&nodes(&format!("voters_max = {voters_max}\n{all}")));
        file.voters().iter().map(NodeName::as_str).collect::<String>()
    };
    assert_eq!([voters("7"), voters("3"), voters("1")], ["wdca", "wdc", "w"]);
}

#[test]
fn the_shape_and_the_members_say_what_the_file_says() {
    let file = good(&with("arcs = 4\nbackups = 2\nspread = 3\nvoters_max = 3\nagreement = \"majority_or_proof\""));
    let shape = file.shape();
    assert_eq!((shape.arcs, shape.backups, shape.spread, shape.voters_max), (4, 2, 3, 3));
    assert_eq!((shape.agreement, shape.ring), (Agreement::MajorityOrProof, vec![name("a"), name("b"), name("c")]));
    let member = file.member(name("b"), Incarnation(7), 4, Vec::new()).expect("in the file");
    assert_eq!((member.node.name, member.node.incarnation, member.role), (name("b"), Incarnation(7), Role::Host));
    assert_eq!((member.cluster_address.as_str(), member.http_address, member.workers), ("127.0.0.1:7102", None, 4));
    assert_eq!(file.member(name("z"), Incarnation(7), 4, Vec::new()), None);
}

#[test]
fn a_node_may_listen_elsewhere_than_others_dial_it() {
    let file = good(&format!("{}bind = \"127.0.0.1:9\"", with("")));
    let bind = |node: &NodeConfig| node.bind.as_ref().map(ToString::to_string);
    assert_eq!(file.nodes().iter().map(bind).collect::<Vec<_>>(), [None, None, Some("127.0.0.1:9".to_owned())]);
    // Each host may have the same one, and every interface can be listened on.
    let twice = with("insecure = true").replace("7101\"", "7101\"\nbind = \"0.0.0.0:9\"");
    good(&format!("{twice}bind = \"0.0.0.0:9\""));
    let outside = refusal(&format!("{}bind = \"0.0.0.0:9\"", with("")));
    assert!(matches!(outside.faults()[0].wrong(), Wrong::NeedsTls { .. }), "{outside}");
}

#[test]
fn the_digest_tells_what_founders_must_agree_on_and_nothing_else() {
    let digest = |text: &str| good(text).digest();
    // Frozen: nodes of different versions compare it.
    assert_eq!(digest(include_str!("../../examples/cluster.toml")), 16_824_736_386_930_987_422);
    let same = digest(&with(""));
    let edge = |n: &str| n.replacen("cluster = \"127.0.0.1:7102\"", "cluster = \"127.0.0.1:7102\"\nrole = \"edge\"", 1);
    for differs in [
        with("arcs = 1023"),
        with("lease = \"300ms\""),
        with("reply_keep = \"9m\""),
        with("backups = 2"),
        with("spread = 2"),
        with("pin = \"on_drain\""),
        with("pin = \"never_move\""),
        format!("{}weight = 2", with("")),
        format!("{}weight = 3", with("")),
        with("").replace("7102\"", "7102\"\nweight = 2"),
        with("voters_max = 3"),
        with("agreement = \"majority_or_proof\""),
        with("").replace("shop", "shed"),
        with("").replace("\"b\"", "\"x\""),
        with("").replace("7102", "7109"),
        format!("{}zone = \"z\"", with("")),
        edge(&with("")),
        with("").replace("\"a\"", "\"x\"").replace("\"b\"", "\"a\"").replace("\"x\"", "\"b\""),
    ] {
        assert_ne!(digest(&differs), same, "{differs}");
    }
    for alike in [
        with("").replace("hush", "loud"),
        with("heartbeat = \"50ms\""),
        format!("{}http = \"127.0.0.1:9\"\nbind = \"127.0.0.1:8\"", with("")),
    ] {
        assert_eq!(digest(&alike), same, "{alike}");
    }
}

#[test]
fn a_built_configuration_is_checked_by_the_same_rules() {
    let node = |n: &str, address: &str| NodeConfig::new(name(n), Address::new(address).expect("host:port"));
    let nodes = vec![node("a", "127.0.0.1:1"), node("b", "127.0.0.1:2"), node("c", "127.0.0.1:3")];
    let cluster = ClusterConfig::new("shop", Secret::new("hush").expect("not blank"));
    let file = ClusterFile::new(cluster.clone(), nodes.clone()).expect("every default is allowed");
    assert_eq!((file.nodes().len(), file.notes()), (3, &[][..]));

    let limits = Limits { waiting: 0, ..Limits::default() };
    let bad = ClusterConfig { arcs: 0, lease: millis(5), name: String::new(), limits, ..cluster.clone() };
    let twice = vec![node("a", "127.0.0.1:1"), node("a", "10.0.0.1:1")];
    let refused = ClusterFile::new(bad, twice).expect_err("must be refused");
    let spots: Vec<_> = refused.faults().iter().map(|fault| fault.spot().to_string()).collect();
    let expected = ["arcs", "lease", "limits.waiting", "name", "lease"].map(|key| format!("cluster.{key}"));
    assert_eq!(spots[..5], expected, "{refused}");
    assert_eq!(spots[5..], ["node[1].name", "node[1].cluster"], "{refused}");
    assert!(refused.to_string().starts_with("cluster.arcs: `arcs` cannot be 0\n"), "{refused}");
    let refused = ClusterFile::new(cluster, Vec::new()).expect_err("must be refused");
    assert_eq!(refused.faults()[0].wrong(), &Wrong::Missing);
}

#[test]
fn the_documentation_has_every_key_and_no_other() {
    let page = include_str!("../../docs/configuration.md");
    let row = |key: &key::Key| {
        let default = match (key.default, key.required) {
            ("", true) => "required".to_owned(),
            ("", false) => String::new(),
            (default, _) => format!("`{default}`"),
        };
        format!("| `{}` | {default} | {} | {} |", key.name, key.rule.range(), key.meaning).replace("|  |", "| |")
    };
    for section in [Section::File, Section::Cluster, Section::Limits, Section::Tls, Section::Node] {
        let title = format!("## `{}`", section.header()).replace("`the file`", "The file");
        let (_, after) = page.split_once(&format!("{title}\n")).unwrap_or_else(|| panic!("no {title}"));
        let part = after.split("\n## ").next().expect("a first part");
        let written: Vec<_> = part.lines().filter(|line| line.starts_with("| `")).collect();
        let known: Vec<_> = KEYS.iter().filter(|key| key.section == section).map(row).collect();
        assert_eq!(written, known, "the table of {title} must be:\n{}", known.join("\n"));
    }
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, KEYS.len() + 2, "beside the keys, only the two variables have rows");
    for variable in [Environment::SECRET, Environment::NAME] {
        assert!(page.contains(&format!("| `{variable}` |")), "{variable}");
    }
}

fn near_toml() -> impl Strategy<Value = String> {
    let words: Vec<String> = KEYS
        .iter()
        .flat_map(|key| [key.name.to_owned(), format!("{:?}", key.default), key.section.header().to_owned()])
        .chain(
            ["=", "\n", "\"", "'''", "[", "]", "{", "}", ".", ",", "1", "0", "-1", "99999999999999999999", "é", "\t"]
                .map(String::from),
        )
        .chain(
            ["name = \"a\"\n", "cluster = \"127.0.0.1:1\"\n", "secret = \"s\"\n", "1979-05-27", "nan"]
                .map(String::from),
        )
        .collect();
    proptest::collection::vec(proptest::sample::select(words), 0..60).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        if let Err(error) = ClusterFile::from_str(&text, "cluster.toml") {
            prop_assert!(!error.faults().is_empty() && !error.to_string().is_empty());
        }
    }

    #[test]
    fn text_that_is_nearly_a_cluster_file_never_panics(text in near_toml()) {
        if let Err(error) = ClusterFile::from_str(&text, "cluster.toml") {
            prop_assert!(!error.faults().is_empty() && !error.to_string().is_empty());
        }
    }

    #[test]
    fn a_good_file_with_one_byte_changed_never_panics(at in 0..1_000_usize, byte in any::<char>()) {
        let mut text: Vec<char> = include_str!("../../examples/cluster.toml").chars().collect();
        let at = at % text.len();
        text[at] = byte;
        let text: String = text.into_iter().collect();
        if let Err(error) = ClusterFile::from_str(&text, "cluster.toml") {
            prop_assert!(!error.faults().is_empty() && !error.to_string().is_empty());
        }
    }
}
