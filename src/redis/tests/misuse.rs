//! Wrong, hostile and slow clients: each gets an error or a closed connection, and the others notice nothing.

use std::time::Duration;

use tokio::time::timeout;

use super::{Client, Settings, listening, local::Local, nodes, one, settings, with_password};
use crate::redis::{
    alone::Alone,
    door::Door as _,
    frames::Reply,
    id::{arc_of, id_of},
    refusal::Unknown,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_told_so_and_closes_the_connection() {
    let (_node, server, mut other) = one().await;
    let deep = b"*1\r\n".repeat(10_000);
    let too_long = "-ERR Protocol error: invalid bulk length: a string has at most 4194304 bytes here";
    let wrong: [(&[u8], &str); 9] = [
        (b"*1\r\n$9223372036854775807\r\n", too_long),
        (b"*9223372036854775807\r\n", "-ERR Protocol error: invalid multibulk length"),
        (b"*99999999999999999999999\r\n", "-ERR Protocol error: invalid multibulk length"),
        (&deep, "-ERR Protocol error: expected '$', got '*'"),
        (b"*2\r\n$3\r\nGET\r\n:1\r\n", "-ERR Protocol error: expected '$', got ':'"),
        (b"GET \"k\r\n", "-ERR Protocol error: unbalanced quotes in request"),
        (&[b'x'; 70_000], "-ERR Protocol error: too big inline request"),
        (b"*1\r\n$4\r\nPINGxx", "-ERR Protocol error: invalid bulk length"),
        (b"*1\r\n$5000000\r\n", too_long),
    ];
    for (bytes, words) in wrong {
        let mut client = Client::connect(server.address()).await;
        client.send("SET before 1\r\n").await;
        client.send(bytes).await;
        assert_eq!(client.hear().await, "OK", "what came before is answered");
        assert_eq!(client.hear().await, words);
        assert_eq!(client.hear().await, "closed");
        assert_eq!(other.ask("PING").await, "PONG");
    }
    let mut client = Client::connect(server.address()).await;
    client.send("*0\r\n\r\n*-1\r\nPING\r\n").await;
    assert_eq!(client.hear().await, "PONG", "empty requests are none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_the_body_of_another_protocol_is_not_carried_out() {
    let (_node, server, mut other) = one().await;
    assert_eq!(other.ask("SET victim alive").await, "OK");
    for head in ["POST / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: somewhere\r\n", "host: x\r\n"] {
        let mut client = Client::connect(server.address()).await;
        client.send(format!("{head}\r\n\r\nDEL victim\r\n")).await;
        let mut last = client.hear().await;
        while last != "closed" {
            assert!(last.starts_with("-ERR"), "{last}");
            last = client.hear().await;
        }
        assert_eq!(other.ask("GET victim").await, "\"alive\"", "{head}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_is_too_large_is_refused_and_the_connection_goes_on() {
    let (_node, _server, mut client) = one().await;
    let value = "x".repeat((1 << 20) + 1);
    assert_eq!(client.ask("SET k small").await, "OK");
    assert!(client.set("k", &value).await.starts_with("-ERR string exceeds maximum allowed size"));
    assert_eq!(client.ask("GET k").await, "\"small\"");
    // In one batch with others it harms only itself.
    client.send(format!("SET k 1\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}\r\nINCR k\r\n", value.len())).await;
    assert_eq!(client.hear().await, "OK");
    assert!(client.hear().await.starts_with("-ERR string exceeds maximum allowed size"));
    assert_eq!(client.hear().await, "2");
    let key = "k".repeat(600);
    assert_eq!(client.ask(&format!("GET {key}")).await, "-ERR a key has at most 510 bytes here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_is_answered_in_order_however_it_is_cut() {
    let (_node, _server, mut client) = one().await;
    let mut requests = Vec::new();
    for n in 0..3_000 {
        requests.extend(format!("INCR hot\r\nSET k{n} {n}\r\nGET k{n}\r\n").into_bytes());
    }
    let (first, second) = requests.split_at(requests.len() / 2 + 3);
    client.send(first).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    client.send(second).await;
    for n in 0..3_000 {
        assert_eq!(client.hear().await, (n + 1).to_string());
        assert_eq!(client.hear().await, "OK");
        assert_eq!(client.hear().await, format!("\"{n}\""));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_say_the_password_first_and_send_little() {
    let (_node, server) = nodes(&["a"], with_password("open sesame")).await.pop().expect("one");
    let connect = || Client::connect(server.address());
    let mut client = connect().await;
    for (line, wanted) in [
        ("GET k", "-NOAUTH Authentication required."),
        ("NONSENSE", "-NOAUTH Authentication required."),
        ("AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled."),
        ("AUTH other 'open sesame'", "-WRONGPASS invalid username-password pair or user is disabled."),
        ("AUTH 'open sesame'", "OK"),
        ("GET k", "nil"),
        ("RESET", "RESET"),
        ("GET k", "-NOAUTH Authentication required."),
        ("AUTH default 'open sesame'", "OK"),
        ("GET k", "nil"),
    ] {
        assert_eq!(client.ask(line).await, wanted, "{line}");
    }
    assert!(connect().await.ask("HELLO 3").await.starts_with("-NOAUTH HELLO must be called"));
    assert!(connect().await.ask("HELLO 3 AUTH default 'open sesame'").await.starts_with("{\"server\""));
    let mut client = connect().await;
    client.send("*2\r\n$4\r\nAUTH\r\n$5000\r\n").await;
    let too_long = "-ERR Protocol error: invalid bulk length: a string has at most 4096 bytes here";
    assert_eq!(client.hear().await, too_long);
    let mut client = connect().await;
    client.send("*17\r\n").await;
    assert_eq!(client.hear().await, "-ERR Protocol error: invalid multibulk length");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_writes_far_too_much_reads_the_word_about_it() {
    let (_node, _server, mut client) = one().await;
    client.send(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", 20 << 20)).await;
    // As a client that writes all of it before it reads.
    client.send(vec![b'x'; 20 << 20]).await;
    let too_long = "-ERR Protocol error: invalid bulk length: a string has at most 4194304 bytes here";
    assert_eq!(client.hear().await, too_long);
    assert_eq!(client.hear().await, "closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_had_asked_when_it_said_that_it_says_no_more_is_done_and_answered() {
    let (_node, server, mut other) = one().await;
    let mut client = Client::connect(server.address()).await;
    // Each of these has to wait for the one before it.
    client.send("SET a 1\r\nKEYS *\r\nINCR a\r\nDBSIZE\r\nINCR a\r\nGET a\r\nINC").await;
    client.end().await;
    for words in ["OK", "[\"a\"]", "2", "1", "3", "\"3\"", "closed"] {
        assert_eq!(client.hear().await, words);
    }
    assert_eq!(other.ask("GET a").await, "\"3\"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_longer_than_what_is_begun_at_once_is_answered_without_a_pause() {
    let (_node, server, mut client) = one().await;
    let all = async {
        for (request, count, words) in [("PING", 20_000, "PONG"), ("SET k v", 5_000, "OK"), ("GET k", 5_000, "\"v\"")] {
            client.send(format!("{request}\r\n").repeat(count)).await;
            for _ in 0..count {
                assert_eq!(client.hear().await, words);
            }
        }
        let distinct: Vec<String> = (0..5_000).map(|n| format!("INCR n{n}\r\n")).collect();
        client.send(distinct.concat()).await;
        for _ in 0..5_000 {
            assert_eq!(client.hear().await, "1");
        }
    };
    // Each pause was a second, and there was one behind every 1,024 requests.
    timeout(Duration::from_secs(15), all).await.expect("no pauses");
    drop(server);
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_changes_of_one_large_hash_hold_up_nobody_else() {
    let (_node, server, mut client) = one().await;
    let fields: String = (0..6_000).map(|n| format!("$5\r\nf{n:04}\r\n$8\r\nsomevalu\r\n")).collect();
    client.send(format!("*12002\r\n$4\r\nHSET\r\n$4\r\nhash\r\n{fields}")).await;
    assert_eq!(client.hear().await, "6000");
    let changes: String = (0..4_000).map(|n| format!("HSET hash g{n} v\r\n")).collect();
    client.send(changes).await;
    let mut other = Client::connect(server.address()).await;
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let began = std::time::Instant::now();
        assert_eq!(other.ask("SET other 1").await, "OK");
        longest = longest.max(began.elapsed());
    }
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    let all = async {
        for _ in 0..4_000 {
            assert_eq!(client.hear().await, "1");
        }
    };
    timeout(Duration::from_secs(15), all).await.expect("it reads the hash once for many of them");
    assert_eq!(other.ask("HLEN hash").await, "10000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_named_often_to_be_deleted_is_deleted_once_and_soon() {
    let (_node, _server, mut client) = one().await;
    assert_eq!(client.ask("SET a 1").await, "OK");
    assert_eq!(client.ask("SET b 1").await, "OK");
    let often = format!("DEL{}", " a".repeat(30_000));
    assert_eq!(timeout(Duration::from_secs(3), client.ask(&often)).await.expect("soon"), "1");
    assert_eq!(client.ask("UNLINK b b a b").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_too_many_is_told_so() {
    let (_node, server) = nodes(&["a"], Settings { connections: 2, ..settings() }).await.pop().expect("one");
    let mut first = Client::connect(server.address()).await;
    let mut second = Client::connect(server.address()).await;
    assert_eq!(first.ask("PING").await, "PONG");
    assert_eq!(second.ask("PING").await, "PONG");
    let mut third = Client::connect(server.address()).await;
    third.send("HELLO 3\r\n".repeat(100)).await;
    assert_eq!(third.hear().await, "-ERR max number of clients reached");
    assert_eq!(third.hear().await, "closed");
    drop(second);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(Client::connect(server.address()).await.ask("PING").await, "PONG");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_node_serves_and_when_it_has_stopped_clients_are_told_what_they_know_how_to_take() {
    let server = listening(settings()).await;
    let mut client = Client::connect(server.address()).await;
    for line in ["GET k", "PING"] {
        assert_eq!(client.ask(line).await, "-LOADING this node is not in the ring yet");
    }
    assert!(client.ask("INFO persistence").await.contains("loading:1"));
    let (node, _own) = nodes(&["a"], settings()).await.pop().expect("one");
    server.open(node.clone());
    assert_eq!(client.ask("SET k v").await, "OK");
    assert!(client.ask("INFO persistence").await.contains("loading:0"));
    node.stop().await;
    assert_eq!(client.ask("SET k w").await, "-READONLY this node has stopped: connect to another");
    server.stop().await;
    assert_eq!(client.hear().await, "closed");
}

/// Sets one key in each of so many arcs, where every so manieth call fails: the first that does was not done, of the second nobody can
/// tell.
async fn set_in_arcs(arcs: usize, fails: usize) -> Result<Reply, Unknown> {
    let door = Local::new(1 << 10, fails);
    let mut of_arcs = std::collections::BTreeMap::new();
    for n in 0..100 {
        let key = format!("k{n}");
        of_arcs.entry(arc_of(&id_of(0, key.as_bytes()).expect("short"), door.arcs())).or_insert(key);
    }
    let pairs: Vec<_> = of_arcs.into_values().take(arcs).map(|key| (key.into(), "v".into())).collect();
    assert_eq!(pairs.len(), arcs);
    Alone::SetAll(0, pairs).run(door).await.reply
}

#[tokio::test]
async fn what_of_several_keys_was_not_set_is_said_and_only_what_nobody_can_tell_is_not() {
    let why = "TRYAGAIN the key's node is being replaced, or too few nodes are heard; nothing was done";
    assert_eq!(set_in_arcs(4, 0).await, Ok(Reply::OK));
    assert_eq!(set_in_arcs(1, 1).await, Ok(Reply::error(why)));
    assert_eq!(set_in_arcs(2, 2).await, Ok(Reply::error(format!("{why} to it. Others of these keys were set"))));
    assert_eq!(set_in_arcs(4, 2).await, Err(Unknown));
}
