//! What a body must be to become a document: JSON that means the same to whoever reads it back.
//!
//! JSON's grammar lets an object name a member twice, and a number have more digits than anybody keeps (RFC 8259, sections 4
//! and 6). A parser then picks one member and rounds the number, and the document that comes back is not the one that was
//! acknowledged. So a member named twice is refused, and so is an integer that 64 bits do not hold. A number with a fraction or
//! an exponent is the 64-bit float nearest to it, as nearly everywhere; one beyond all floats is refused by the parser.
//!
//! Not here: how deep it nests (serde_json's own limit) and how large it is (`body`).

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use super::problem::Problem;
use crate::json::Document;

/// The longest piece of a body that an answer repeats, in characters.
const SHOWN_MAX: usize = 64;

/// Reads a body.
pub(super) fn document_of(body: &[u8]) -> Result<Document, Problem> {
    let read = serde_json::from_slice::<Strict>(body);
    let Strict(value) = read.map_err(|fault| Problem::malformed(format!("no JSON that is taken: {fault}")))?;
    match integer_out_of_range(body) {
        None => Ok(Document(value)),
        Some(number) => {
            let number: String = number.chars().take(SHOWN_MAX).collect();
            let detail =
                format!("the integer {number} does not fit into 64 bits and would be rounded: send it as a string");
            Err(Problem::malformed(detail))
        }
    }
}

/// A value none of whose objects names a member twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> de::Visitor<'de> for Any {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut elements: A) -> Result<Strict, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(element)) = elements.next_element()? {
            array.push(element);
        }
        Ok(Strict(Value::Array(array)))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut members: A) -> Result<Strict, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                let name: String = name.chars().take(SHOWN_MAX).collect();
                return Err(de::Error::custom(format_args!("an object names the member {name:?} twice")));
            }
            let Strict(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(Strict(Value::Object(object)))
    }
}

/// The first number of a JSON text that is written as an integer and is none of 64 bits. The parser does not tell it from a
/// float.
fn integer_out_of_range(json: &[u8]) -> Option<&str> {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|b| matches!(b, b'"' | b'-' | b'0'..=b'9')) {
        rest = &rest[at..];
        if rest.starts_with(b"\"") {
            rest = after_string(&rest[1..]);
            continue;
        }
        let end = rest.iter().position(|b| !matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        let (number, after) = rest.split_at(end.unwrap_or(rest.len()));
        let number = std::str::from_utf8(number).expect("digits and signs");
        let is_integer = !number.contains(['.', 'e', 'E']);
        if is_integer && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
            return Some(number);
        }
        rest = after;
    }
    None
}

/// What follows a string whose first quote is already behind.
fn after_string(mut rest: &[u8]) -> &[u8] {
    loop {
        rest = match rest {
            [] => return rest,
            [b'"', after @ ..] => return after,
            [b'\\', _, after @ ..] | [_, after @ ..] => after,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_what_was_sent() {
        for text in [
            "null",
            "[true,false,\"\\\"1\\\\\",-1,0.1]",
            "{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}]}",
            "[18446744073709551615,-9223372036854775808]",
            "\"99999999999999999999\"",
            "{\"99999999999999999999\\\"\":[]}",
            // Read by rounding twice these would be a neighbour of themselves.
            "[31.245270191439438,121.48791951161945,9.385958677423489e-21,1.7976931348623157e+308,5e-324]",
        ] {
            let taken = document_of(text.as_bytes()).expect(text);
            assert_eq!(serde_json::to_string(&taken.0).expect("JSON"), text);
        }
        let spelled = document_of(b" [ 1E2, 1.10, 99999999999999999999.0, -0 ]").expect("JSON");
        assert_eq!(
            spelled,
            Document(serde_json::json!([100.0, 1.1, 1e20, -0.0])),
            "another spelling is no other number"
        );
    }

    #[test]
    fn what_would_come_back_as_something_else_is_refused() {
        for (text, why) in [
            ("{\"a\":1,\"a\":1}", "\"a\" twice"),
            ("[{\"b\":{\"\\u0061\":1,\"a\":2}}]", "\"a\" twice"),
            ("18446744073709551616", "18446744073709551616"),
            ("{\"a\":[-9223372036854775809]}", "-9223372036854775809"),
            ("[\"\\\\\",99999999999999999999]", "99999999999999999999"),
            ("[1e400]", "out of range"),
            ("\"\\ud800\"", "no JSON"),
        ] {
            let problem = document_of(text.as_bytes()).expect_err(text);
            let told = format!("{problem:?}").replace('\\', "");
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
