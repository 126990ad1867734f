//! `KnownScript`: what the scripts of lock and cache libraries do. Each is one commit to one key, and Redis would do the same.
//!
//! There is no interpreter. A script is known by its text, white space, quotes, semicolons and case aside, comments included; or by
//! the digest of the very text that its library sends.

use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::{
    commands::{Unit, Wrong, number},
    keys::{Change, Old, Only, Span, When},
};

/// What a script does to `KEYS[1]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KnownScript {
    /// Deletes it if it holds `ARGV[1]`.
    Release,
    /// Has it end `ARGV[2]` from now if it holds `ARGV[1]`.
    Renew(Unit),
    /// The same in milliseconds if it has an end; where `ARGV[3]` is `0` they are added to what is left.
    Extend,
    /// Sets it to `ARGV[1]` for `ARGV[2]` milliseconds where there is no key.
    Acquire,
    /// The same where it holds that already.
    Reset,
    /// Adds `ARGV[1]` to the number where there is a key.
    AddIfAny,
    /// Adds `ARGV[1]` to the number.
    Add,
}

/// A text without what does not matter in it, what it does, and the digests of its very texts.
struct Written(&'static str, KnownScript, &'static [&'static str]);

const WRITTEN: [Written; 11] = [
    // PHP's session handler and most libraries.
    Written(
        "ifredis.call('get',keys[1])==argv[1]thenreturnredis.call('del',keys[1])elsereturn0end",
        KnownScript::Release,
        &["b70c2384248f88e6b75b9f89241a180f856ad852"],
    ),
    Written(
        "ifredis.call('get',keys[1])==argv[1]thenreturnredis.call('pexpire',keys[1],argv[2])elsereturn0end",
        KnownScript::Renew(Unit::Millis),
        &[],
    ),
    Written(
        "ifredis.call('get',keys[1])==argv[1]thenreturnredis.call('expire',keys[1],argv[2])elsereturn0end",
        KnownScript::Renew(Unit::Seconds),
        &[],
    ),
    // redis-py's `Lock`: release, reacquire, extend.
    Written(
        "localtoken=redis.call('get',keys[1])ifnottokenortoken~=argv[1]thenreturn0endredis.call('del',keys[1])return1",
        KnownScript::Release,
        &["c3f8721cbb97f72bc19e972846bd7aaf91901658"],
    ),
    Written(
        "localtoken=redis.call('get',keys[1])ifnottokenortoken~=argv[1]thenreturn0end\
         redis.call('pexpire',keys[1],argv[2])return1",
        KnownScript::Renew(Unit::Millis),
        &["1cac51482acf5858da00f6d685d68f886cd6b6b2"],
    ),
    Written(
        "localtoken=redis.call('get',keys[1])ifnottokenortoken~=argv[1]thenreturn0end\
         localexpiration=redis.call('pttl',keys[1])ifnotexpirationthenexpiration=0endifexpiration<0thenreturn0end\
         localnewttl=argv[2]ifargv[3]=='0'thennewttl=argv[2]+expirationend\
         redis.call('pexpire',keys[1],newttl)return1",
        KnownScript::Extend,
        &["a4e8783852e6b949f9ef3a97212805108459a890"],
    ),
    // redlock of Node, versions 4 and 5: acquire, extend, release; of one resource.
    Written(
        "--return0ifanentryalreadyexists.fori,keyinipairs(keys)doifredis.call('exists',key)==1thenreturn0endend\
         --createanentryforeachprovidedkey.fori,keyinipairs(keys)doredis.call('set',key,argv[1],'px',argv[2])end\
         --returnthenumberofentriesadded.return#keys",
        KnownScript::Acquire,
        &["e5a322e2634ef59a516e8ea150cb085afafee684", "96da70f7716f27d278a5218544df37fd8b0a5e4c"],
    ),
    Written(
        "--return0ifanentryexistswitha*different*lockvalue.fori,keyinipairs(keys)do\
         ifredis.call('get',key)~=argv[1]thenreturn0endend\
         --updatetheentryforeachprovidedkey.fori,keyinipairs(keys)doredis.call('set',key,argv[1],'px',argv[2])end\
         --returnthenumberofentriesupdated.return#keys",
        KnownScript::Reset,
        &["ce46f80993d5dac20dd066eb301a4e37994bdbed", "aed6f382e410db8ba7926d4e5e9aab410bf2a78a"],
    ),
    Written(
        "localcount=0fori,keyinipairs(keys)do--onlyremoveentriesfor*this*lockvalue.\
         ifredis.call('get',key)==argv[1]thenredis.pcall('del',key)count=count+1endend\
         --returnthenumberofentriesremoved.returncount",
        KnownScript::Release,
        &["0f0f23b9048b36752b5be114f357ba083449f908", "e4612211c9f8f51c257e26e056b0a654b3187242"],
    ),
    // django-redis's `incr`.
    Written(
        "localexists=redis.call('exists',keys[1])if(exists==1)thenreturnredis.call('incrby',keys[1],argv[1])\
         elsereturnfalseend",
        KnownScript::AddIfAny,
        &[],
    ),
    Written("returnredis.call('incrby',keys[1],argv[1])", KnownScript::Add, &[]),
];

/// The longest script that is looked at.
const TEXT_MAX: usize = 4 << 10;

impl KnownScript {
    /// The script that this text is.
    pub(super) fn by_text(text: &[u8]) -> Option<Self> {
        let plain = plain(text);
        WRITTEN.iter().find(|written| written.0 == plain).map(|written| written.1)
    }

    /// The script that a library calls by this digest before it has ever sent the text; in lower case.
    pub(super) fn by_digest(digest: &str) -> Option<Self> {
        WRITTEN.iter().find(|written| written.2.contains(&digest)).map(|written| written.1)
    }

    /// What it does to its key with these arguments.
    ///
    /// # Errors
    /// They are not what it takes.
    pub(super) fn change(self, arguments: &[Bytes]) -> Result<Change, Wrong> {
        let at = |nth: usize| arguments.get(nth).ok_or(Wrong::Borrowed(TAKES));
        let value = at(0)?.clone();
        Ok(match self {
            Self::Release => Change::DeleteIf(value),
            Self::Renew(unit) => Change::ExpireIf(value, span(at(1)?, unit)?, Only::Always),
            Self::Extend if at(2)? == "0" => Change::ProlongIf(value, number(at(1)?)?),
            Self::Extend => Change::ExpireIf(value, span(at(1)?, Unit::Millis)?, Only::With),
            Self::Acquire => Change::Set(value, When::Absent, positive(at(1)?)?, Old::Flag),
            // What it holds stays what it is: only its end is another.
            Self::Reset => Change::ExpireIf(value, positive(at(1)?)?, Only::Always),
            Self::AddIfAny => Change::AddIfAny(number(&value)?),
            Self::Add => Change::Add(number(&value)?),
        })
    }
}

const TAKES: &str = "ERR this script is given fewer arguments than it takes";

/// As `PEXPIRE` and `EXPIRE` take it: what lies behind ends the key.
fn span(bytes: &[u8], unit: Unit) -> Result<Span, Wrong> {
    unit.span(number(bytes)?).ok_or_else(|| "ERR invalid expire time in 'expire' command".into())
}

/// As `SET` takes it.
fn positive(bytes: &[u8]) -> Result<Span, Wrong> {
    match span(bytes, Unit::Millis)? {
        Span::Over => Err("ERR invalid expire time in 'set' command".into()),
        span => Ok(span),
    }
}

/// The digest by which clients call this text.
pub(super) fn digest_of(text: &[u8]) -> String {
    Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A script without what does not matter.
fn plain(text: &[u8]) -> String {
    if text.len() > TEXT_MAX {
        return String::new();
    }
    let text = String::from_utf8_lossy(text).to_ascii_lowercase().replace('"', "'");
    text.chars().filter(|c| !c.is_whitespace() && *c != ';').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PHP's extension, redis-py, redlock and django-redis send them, to the last blank; with the digest that they send first.
    const TEXTS: [(&str, KnownScript, &str); 4] = [
        (
            r#"if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) else return 0 end"#,
            KnownScript::Release,
            "b70c2384248f88e6b75b9f89241a180f856ad852",
        ),
        (
            "
        local token = redis.call('get', KEYS[1])
        if not token or token ~= ARGV[1] then
            return 0
        end
        redis.call('pexpire', KEYS[1], ARGV[2])
        return 1
    ",
            KnownScript::Renew(Unit::Millis),
            "1cac51482acf5858da00f6d685d68f886cd6b6b2",
        ),
        (
            r#"
  -- Return 0 if an entry already exists.
  for i, key in ipairs(KEYS) do
    if redis.call("exists", key) == 1 then
      return 0
    end
  end

  -- Create an entry for each provided key.
  for i, key in ipairs(KEYS) do
    redis.call("set", key, ARGV[1], "PX", ARGV[2])
  end

  -- Return the number of entries added.
  return #KEYS
"#,
            KnownScript::Acquire,
            "96da70f7716f27d278a5218544df37fd8b0a5e4c",
        ),
        ("\n  return redis.call('INCRBY', KEYS[1], ARGV[1])\n", KnownScript::Add, ""),
    ];

    #[test]
    fn scripts_are_known_however_they_are_written_and_no_other_is() {
        for (text, does, digest) in TEXTS {
            assert_eq!(KnownScript::by_text(text.as_bytes()), Some(does), "{text}");
            let spread = text.replace(' ', "\n   ").replace('"', "'").to_uppercase();
            assert_eq!(KnownScript::by_text(spread.as_bytes()), Some(does), "{spread}");
            if !digest.is_empty() {
                assert_eq!(digest_of(text.as_bytes()), digest);
                assert_eq!(KnownScript::by_digest(digest), Some(does), "{text}");
            }
        }
        for other in ["return redis.call('del', KEYS[1])", "return 1", ""] {
            assert_eq!(KnownScript::by_text(other.as_bytes()), None, "{other}");
        }
        assert_eq!(KnownScript::by_text(&vec![b' '; 1 << 20]), None);
        assert_eq!(KnownScript::by_digest(""), None);
    }

    #[test]
    fn what_it_is_given_must_be_what_it_takes() {
        let given = |script: KnownScript, arguments: &[&'static str]| {
            let arguments: Vec<_> = arguments.iter().map(|one| Bytes::from_static(one.as_bytes())).collect();
            script.change(&arguments)
        };
        assert_eq!(given(KnownScript::Release, &["v"]), Ok(Change::DeleteIf("v".into())));
        assert_eq!(given(KnownScript::Release, &[]), Err(TAKES.into()));
        assert_eq!(given(KnownScript::Extend, &["v", "5"]), Err(TAKES.into()));
        assert_eq!(given(KnownScript::Extend, &["v", "5", "0"]), Ok(Change::ProlongIf("v".into(), 5)));
        let replaced = Change::ExpireIf("v".into(), Span::Millis(5), Only::With);
        assert_eq!(given(KnownScript::Extend, &["v", "5", "1"]), Ok(replaced));
        let over = Change::ExpireIf("v".into(), Span::Over, Only::Always);
        assert_eq!(given(KnownScript::Renew(Unit::Seconds), &["v", "-1"]), Ok(over));
        for (script, wrong) in
            [(KnownScript::Reset, "0"), (KnownScript::Acquire, "-1"), (KnownScript::Renew(Unit::Seconds), "x")]
        {
            assert!(given(script, &["v", wrong]).is_err(), "{script:?} {wrong}");
        }
        assert!(given(KnownScript::Renew(Unit::Seconds), &["v", "9223372036854775807"]).is_err());
    }
}
