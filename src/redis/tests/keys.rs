//! What is said to a client, command by command, in the words of Redis.

use super::one;

/// Each line on the left is answered by the words on the right.
async fn says(dialogue: &[(&str, &str)]) {
    let (_node, _server, mut client) = one().await;
    for (line, wanted) in dialogue {
        assert_eq!(client.ask(line).await, *wanted, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strings_are_set_told_counted_and_joined() {
    says(&[
        ("GET k", "nil"),
        ("SET k v", "OK"),
        ("GET k", "\"v\""),
        ("SET k w NX", "nil"),
        ("SET k w XX GET", "\"v\""),
        ("SET none w XX", "nil"),
        ("SETNX k x", "0"),
        ("SETNX n x", "1"),
        ("GETSET k y", "\"w\""),
        ("APPEND k z", "2"),
        ("APPEND new z", "1"),
        ("STRLEN k", "2"),
        ("STRLEN none", "0"),
        ("INCR c", "1"),
        ("INCRBY c 41", "42"),
        ("DECR c", "41"),
        ("DECRBY c 43", "-2"),
        ("INCR k", "-ERR value is not an integer or out of range"),
        ("SET c 9223372036854775807", "OK"),
        ("INCR c", "-ERR increment or decrement would overflow"),
        ("DECRBY c -9223372036854775808", "-ERR decrement would overflow"),
        ("GETDEL k", "\"yz\""),
        ("GETDEL k", "nil"),
        ("MSET a 1 b 2 a 3", "OK"),
        ("MGET a b none", "[\"3\" \"2\" nil]"),
        ("DEL a b none", "2"),
        ("EXISTS c c none", "2"),
        ("TYPE c", "string"),
        ("TYPE none", "none"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_are_set_told_kept_and_taken_away() {
    says(&[
        ("SET k v EX 100", "OK"),
        ("TTL k", "100"),
        ("SET k w KEEPTTL", "OK"),
        ("TTL k", "100"),
        ("EXPIRE k 50 GT", "0"),
        ("EXPIRE k 200 GT", "1"),
        ("EXPIRE k 300 LT", "0"),
        ("EXPIRE k 100 NX", "0"),
        ("EXPIRE k 100 XX", "1"),
        ("TTL k", "100"),
        ("EXPIRE k 100 GT LT", "-ERR GT and LT options at the same time are not compatible"),
        ("EXPIRE k 100 NX XX", "-ERR NX and XX, GT or LT options at the same time are not compatible"),
        ("PERSIST k", "1"),
        ("PERSIST k", "0"),
        ("TTL k", "-1"),
        ("EXPIRE k 10 GT", "0"),
        ("EXPIRE k 10 LT", "1"),
        ("APPEND k x", "2"),
        ("TTL k", "10"),
        ("SET k v", "OK"),
        ("TTL k", "-1"),
        ("TTL none", "-2"),
        ("EXPIRE none 10", "0"),
        ("SETEX k 7 v", "OK"),
        ("GETEX k", "\"v\""),
        ("TTL k", "7"),
        ("GETEX k PERSIST", "\"v\""),
        ("TTL k", "-1"),
        ("GETEX k EX 9", "\"v\""),
        ("TTL k", "9"),
        ("PSETEX k 5000 v", "OK"),
        ("TTL k", "5"),
        ("EXPIREAT k 4102444800", "1"),
        ("EXPIRETIME k", "4102444800"),
        ("SET k v EX 0", "-ERR invalid expire time in 'set' command"),
        ("SET k v PX 9223372036854775807", "-ERR invalid expire time in 'set' command"),
        ("EXPIRE k 9223372036854775", "-ERR invalid expire time in 'expire' command"),
        ("PEXPIREAT k 9223372036854775807", "1"),
        ("INCRBY n +5", "-ERR value is not an integer or out of range"),
        ("EXPIRE k 05", "-ERR value is not an integer or out of range"),
        ("SET k v EX 9223372036854775807", "-ERR invalid expire time in 'set' command"),
        ("SET k v EX", "-ERR syntax error"),
        ("SET k v EX 1 PX 1", "-ERR syntax error"),
        ("EXPIRE k -1", "1"),
        ("GET k", "nil"),
        ("SET k v EXAT 1", "OK"),
        ("GET k", "nil"),
        ("SET k v PX 30", "OK"),
    ])
    .await;
    let (_node, _server, mut client) = one().await;
    assert_eq!(client.ask("SET k v PX 60").await, "OK");
    assert_eq!(client.ask("GET k").await, "\"v\"");
    tokio::time::sleep(std::time::Duration::from_millis(70)).await;
    assert_eq!(client.ask("GET k").await, "nil", "whoever asks after the end finds none");
    assert_eq!(client.ask("DBSIZE").await, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hashes_have_fields_and_are_gone_with_the_last() {
    says(&[
        ("HSET h f 1 g 2", "2"),
        ("HSET h f 3 i 4", "1"),
        ("HMSET h f 1", "OK"),
        ("HGET h f", "\"1\""),
        ("HGET h none", "nil"),
        ("HMGET h f none g", "[\"1\" nil \"2\"]"),
        ("HGETALL h", "[\"f\" \"1\" \"g\" \"2\" \"i\" \"4\"]"),
        ("HKEYS h", "[\"f\" \"g\" \"i\"]"),
        ("HVALS h", "[\"1\" \"2\" \"4\"]"),
        ("HLEN h", "3"),
        ("HEXISTS h f", "1"),
        ("HEXISTS h none", "0"),
        ("HSTRLEN h f", "1"),
        ("HINCRBY h f 41", "42"),
        ("HINCRBY h n -1", "-1"),
        ("HSET h x abc", "1"),
        ("HINCRBY h x 1", "-ERR hash value is not an integer"),
        ("HSETNX h x d", "0"),
        ("HSETNX h y d", "1"),
        ("HSCAN h 0 MATCH [fg]", "[\"0\" [\"f\" \"42\" \"g\" \"2\"]]"),
        ("TYPE h", "hash"),
        ("GET h", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("INCR h", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SET h v GET", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("MGET h", "[nil]"),
        ("HDEL h f g i n x none", "5"),
        ("HDEL h y", "1"),
        ("EXISTS h", "0"),
        ("HDEL h y", "0"),
        ("HGETALL h", "[]"),
        ("SET s v", "OK"),
        ("HSET s f v", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("HGETALL s", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("GET s", "\"v\""),
        ("HSET h f", "-ERR wrong number of arguments for 'hset' command"),
        ("HELLO 3 SETNAME me", "{\"server\" \"redis\" \"version\" \"7.2.0\" \"proto\" 3 \"id\" 1 \"mode\" \"standalone\" \"role\" \"master\" \"modules\" []}"),
        ("CLIENT GETNAME", "\"me\""),
        ("HSET h f v", "1"),
        ("HGETALL h", "{\"f\" \"v\"}"),
        ("GET none", "nil"),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_found_counted_renamed_and_deleted_over_all_arcs() {
    let (_node, _server, mut client) = one().await;
    for n in 0..200 {
        assert_eq!(client.ask(&format!("SET key:{n} {n}")).await, "OK");
    }
    assert_eq!(client.ask("HSET key:h f v").await, "1");
    assert_eq!(client.ask("SET key:7_LOCK token").await, "OK");
    assert_eq!(client.ask("SELECT 1").await, "OK");
    assert_eq!(client.ask("SET other 1").await, "OK");
    assert_eq!(client.ask("DBSIZE").await, "1");
    assert_eq!(client.ask("SELECT 0").await, "OK");
    assert_eq!(client.ask("DBSIZE").await, "202");
    let mut told = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let page = client.ask(&format!("SCAN {cursor} MATCH key:* COUNT 20")).await;
        let mut words = page.trim_matches(['[', ']']).split(' ');
        cursor = words.next().expect("a cursor").trim_matches('"').to_owned();
        told.extend(words.filter(|word| word.len() > 2).map(|word| word.trim_matches(['[', ']', '"']).to_owned()));
        if cursor == "0" {
            break;
        }
    }
    told.sort();
    let mut wanted: Vec<_> = (0..200).map(|n| format!("key:{n}")).collect();
    wanted.extend(["key:h".to_owned(), "key:7_LOCK".to_owned()]);
    wanted.sort();
    assert_eq!(told, wanted, "each key once");
    assert_eq!(client.ask("SCAN 0 COUNT 1000 TYPE hash").await, "[\"0\" [\"key:h\"]]");
    assert_eq!(client.ask("KEYS key:7_*").await, "[\"key:7_LOCK\"]");
    for (line, wanted) in [
        ("SCAN x", "-ERR invalid cursor"),
        ("SCAN 0 COUNT 0", "-ERR syntax error"),
        ("SET key:1 one EX 100", "OK"),
        ("RENAME key:1 key:new", "OK"),
        ("GET key:new", "\"one\""),
        ("TTL key:new", "100"),
        ("EXISTS key:1", "0"),
        ("RENAME none key:2", "-ERR no such key"),
        ("RENAME {t}a {t}b", "-ERR no such key"),
        ("SET {t}a v", "OK"),
        ("RENAME {t}a {t}b", "OK"),
        ("MGET {t}a {t}b", "[nil \"v\"]"),
        ("RENAME {t}b {t}b", "OK"),
        ("FLUSHDB", "OK"),
        ("DBSIZE", "0"),
        ("SELECT 1", "OK"),
        ("DBSIZE", "1"),
        ("FLUSHALL", "OK"),
        ("DBSIZE", "0"),
        ("SELECT 16", "-ERR DB index is out of range"),
    ] {
        assert_eq!(client.ask(line).await, wanted, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_one_commit_or_none() {
    let (_node, server, mut client) = one().await;
    let mut other = super::Client::connect(server.address()).await;
    for (line, wanted) in [
        ("EXEC", "-ERR EXEC without MULTI"),
        ("MULTI", "OK"),
        ("MULTI", "-ERR MULTI calls can not be nested"),
        ("SET {t}a 1", "QUEUED"),
        ("INCR {t}a", "QUEUED"),
        ("HSET {t}h f v", "QUEUED"),
        ("INCR {t}h", "QUEUED"),
        ("MGET {t}a {t}none", "QUEUED"),
        ("DEL {t}a {t}none", "QUEUED"),
        ("SET {t}a 5 EX 100", "QUEUED"),
        ("TTL {t}a", "QUEUED"),
        ("EXEC", "[OK 2 1 -WRONGTYPE Operation against a key holding the wrong kind of value [\"2\" nil] 1 OK 100]"),
        ("GET {t}a", "\"5\""),
        ("MULTI", "OK"),
        ("NONSENSE", "-ERR unknown command 'NONSENSE', with args beginning with: "),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
        ("MULTI", "OK"),
        ("SET {t}a 9", "QUEUED"),
        ("DISCARD", "OK"),
        ("GET {t}a", "\"5\""),
        ("MULTI", "OK"),
        ("SET one 1", "QUEUED"),
        ("SET two 1", "QUEUED"),
        ("EXEC", "-CROSSSLOT Keys in request don't hash to the same slot"),
        ("EXISTS one two", "0"),
        ("MULTI", "OK"),
        ("EXEC", "[]"),
        ("WATCH {t}a {t}new", "OK"),
        ("MULTI", "OK"),
        ("WATCH {t}b", "-ERR WATCH inside MULTI is not allowed"),
        ("INCR {t}a", "QUEUED"),
        ("EXEC", "[6]"),
    ] {
        assert_eq!(client.ask(line).await, wanted, "{line}");
    }
    for touched in ["{t}a", "{t}new"] {
        assert_eq!(client.ask("WATCH {t}a {t}new").await, "OK");
        assert_eq!(other.ask(&format!("SET {touched} changed")).await, "OK");
        assert_eq!(client.ask("MULTI").await, "OK");
        assert_eq!(client.ask("SET {t}b no").await, "QUEUED");
        assert_eq!(client.ask("EXEC").await, "nil", "{touched} is not as it was");
    }
    assert_eq!(client.ask("EXISTS {t}b").await, "0");
    assert_eq!(client.ask("DEL {t}new").await, "1");
    for (line, wanted) in [("WATCH {t}new", "OK"), ("MULTI", "OK"), ("SET {t}new again", "QUEUED"), ("EXEC", "[OK]")] {
        assert_eq!(client.ask(line).await, wanted, "{line}: a key that is gone is absent");
    }
    assert_eq!(client.ask("MULTI").await, "OK");
    assert_eq!(client.ask("SET {t}b yes").await, "QUEUED");
    assert_eq!(client.ask("EXEC").await, "[OK]", "what was watched before counts no more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_answers_what_concerns_no_key_in_its_place() {
    let (_node, _server, mut client) = one().await;
    for line in ["MULTI", "TIME", "SET {t}a 1", "CLIENT ID", "INFO server", "ROLE", "COMMAND COUNT"] {
        assert_eq!(client.ask(line).await, if line == "MULTI" { "OK" } else { "QUEUED" }, "{line}");
    }
    let said = client.ask("EXEC").await;
    let (time, rest) = said.split_once("] OK 1 ").expect("the time, then the key, then who asks");
    let seconds: u64 = time.trim_matches(['[', '"']).split('"').next().expect("seconds").parse().expect("a number");
    assert!(seconds > 1_700_000_000, "{said}");
    assert!(rest.contains("redis_version") && rest.contains("[\"master\" ") && rest.ends_with(" 77]"), "{said}");
    for (line, wanted) in [
        ("MULTI", "OK"),
        (
            "WAIT 0 0",
            "-ERR this command is not offered in a transaction: only those of single keys are, and those of none",
        ),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
        ("MULTI", "OK"),
        ("SET {t}a 2", "QUEUED"),
        ("SELECT 99", "-ERR DB index is out of range"),
        ("EXEC", "-EXECABORT Transaction discarded because of previous errors."),
        ("GET {t}a", "1"),
        ("MULTI", "OK"),
        ("SELECT 4", "QUEUED"),
        ("SET one 1", "QUEUED"),
        ("SET two 1", "QUEUED"),
        ("EXEC", "-CROSSSLOT Keys in request don't hash to the same slot"),
        ("CLIENT INFO", "id=1 name= db=0 resp=2\n"),
    ] {
        let said = client.ask(line).await;
        assert_eq!(said.trim_matches('"'), wanted, "{line}: nothing of it was done");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_released_by_its_holder_alone() {
    const SCRIPT: &str =
        r#"'if redis.call("get",KEYS[1]) == ARGV[1] then return redis.call("del",KEYS[1]) else return 0 end'"#;
    says(&[
        ("EVALSHA 0000000000000000000000000000000000000000 1 k v", "-NOSCRIPT No matching script. Please use EVAL."),
        ("SET k_LOCK mine NX PX 10000", "OK"),
        ("SET k_LOCK yours NX PX 10000", "nil"),
        (&format!("EVAL {SCRIPT} 1 k_LOCK yours"), "0"),
        ("EVALSHA b70c2384248f88e6b75b9f89241a180f856ad852 1 k_LOCK mine", "1"),
        ("SET k_LOCK yours NX PX 10000", "OK"),
        (&format!("SCRIPT LOAD {SCRIPT}"), "\"b70c2384248f88e6b75b9f89241a180f856ad852\""),
        ("SCRIPT EXISTS b70c2384248f88e6b75b9f89241a180f856ad852 00", "[1 0]"),
        (
            "EVAL 'return 1' 0",
            "-ERR scripts are not offered, but for those of locks and counters that are known by their text",
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_told_of_itself_and_its_server() {
    says(&[
        ("PING", "PONG"),
        ("PING hello", "\"hello\""),
        ("ECHO hello", "\"hello\""),
        ("CLIENT ID", "1"),
        ("CLIENT SETINFO LIB-NAME x", "OK"),
        ("CLIENT SETNAME 'a b'", "-ERR Client names cannot contain spaces, newlines or special characters."),
        ("COMMAND COUNT", "77"),
        ("CONFIG GET save", "[\"save\" \"\"]"),
        ("WAIT 0 10", "0"),
        ("AUTH x", "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"),
        ("HELLO 4", "-NOPROTO unsupported protocol version"),
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        ("SUBSCRIBE news", "[\"subscribe\" \"news\" 1]"),
        ("GET k", "-ERR only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"),
        ("PING", "[\"pong\" \"\"]"),
        ("UNSUBSCRIBE", "[\"unsubscribe\" \"news\" 0]"),
        ("PUBLISH news x", "0"),
        ("RESET", "RESET"),
        ("QUIT", "OK"),
    ])
    .await;
}
