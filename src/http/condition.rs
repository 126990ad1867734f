//! `Conditions`: what `If-Match` and `If-None-Match` ask of a session's version (RFC 9110, sections 8.8.3 and 13.1).
//!
//! An entity tag of this door is a version in quotes. A tag of any other form is a good tag that matches nothing, as is
//! `"0"`: where there is no session there is nothing to match. Nothing is sent here: this parses, judges, and says which
//! version to try first.
//!
//! Invariant: `If-Match` compares strongly, so a weak tag never matches it; `If-None-Match` compares weakly.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::problem::Problem;

/// More tags in one header than any honest client has seen versions.
const TAGS_MAX: usize = 64;
/// A version that no session ever has. Expecting it looks up the reply to a retried request, and otherwise tells what the
/// version is, without changing anything.
const NEVER: u64 = u64::MAX;

/// The preconditions of one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

#[derive(Debug, PartialEq, Eq)]
enum Tags {
    Any,
    Listed(Vec<Tag>),
}

#[derive(Debug, PartialEq, Eq)]
struct Tag {
    weak: bool,
    /// `None`: no version of ours.
    version: Option<u64>,
}

/// The entity tag of a version.
pub(super) fn etag(version: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).expect("digits in quotes")
}

impl Conditions {
    /// Reads both headers; several lines of one are one list.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        Ok(Self {
            if_match: Tags::of(headers, &header::IF_MATCH)?,
            if_none_match: Tags::of(headers, &header::IF_NONE_MATCH)?,
        })
    }

    /// Whether there is any.
    pub(super) const fn given(&self) -> bool {
        self.if_match.is_some() || self.if_none_match.is_some()
    }

    /// Whether a session of this version may be changed; 0: there is none.
    pub(super) fn allow(&self, current: u64) -> bool {
        self.match_holds(current) && self.none_match_holds(current)
    }

    /// Whether `If-Match`, if given, holds.
    pub(super) fn match_holds(&self, current: u64) -> bool {
        match &self.if_match {
            None => true,
            Some(Tags::Any) => current != 0,
            Some(Tags::Listed(tags)) => tags.iter().any(|tag| !tag.weak && tag.version == Some(current)),
        }
    }

    /// Whether `If-None-Match`, if given, holds.
    pub(super) fn none_match_holds(&self, current: u64) -> bool {
        match &self.if_none_match {
            None => true,
            Some(Tags::Any) => current == 0,
            Some(Tags::Listed(tags)) => !tags.iter().any(|tag| tag.version == Some(current)),
        }
    }

    /// The version to expect in the first attempt of a write; `None`: any. A wrong guess changes nothing and tells the
    /// version, which `allow` then judges. Guessing goes before looking, so that a retry whose first attempt succeeded
    /// still finds its reply, although the version has moved on since.
    pub(super) fn first_guess(&self) -> Option<u64> {
        if !self.given() {
            return None;
        }
        let listed = match &self.if_match {
            Some(Tags::Listed(tags)) => tags.iter().find_map(|tag| tag.version.filter(|_| !tag.weak)),
            Some(Tags::Any) => None,
            None => Some(0),
        };
        Some(listed.filter(|version| self.allow(*version)).unwrap_or(NEVER))
    }
}

impl Tags {
    fn of(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Self>, Problem> {
        let malformed = || Problem::bad_request(format!("{name} is neither * nor a list of entity tags in quotes"));
        let mut tags = Vec::new();
        let mut any = false;
        let mut lines = 0;
        for line in headers.get_all(name) {
            lines += 1;
            if line.as_bytes().trim_ascii() == b"*" {
                any = true;
                continue;
            }
            let mut rest = line.as_bytes();
            loop {
                rest = rest.trim_ascii_start();
                if let Some(after) = rest.strip_prefix(b",") {
                    rest = after;
                    continue;
                }
                if rest.is_empty() {
                    break;
                }
                let (tag, after) = Tag::first_of(rest).ok_or_else(malformed)?;
                if tags.len() == TAGS_MAX {
                    return Err(Problem::bad_request(format!("{name} has more than {TAGS_MAX} entity tags")));
                }
                tags.push(tag);
                rest = after.trim_ascii_start();
                if !rest.is_empty() && !rest.starts_with(b",") {
                    return Err(malformed());
                }
            }
        }
        match (lines, any, tags.is_empty()) {
            (0, ..) => Ok(None),
            (1, true, true) => Ok(Some(Self::Any)),
            (_, false, false) => Ok(Some(Self::Listed(tags))),
            _ => Err(malformed()),
        }
    }
}

impl Tag {
    /// One tag, and what follows it.
    fn first_of(text: &[u8]) -> Option<(Self, &[u8])> {
        let (weak, quoted) = text.strip_prefix(b"W/").map_or((false, text), |rest| (true, rest));
        let inside = quoted.strip_prefix(b"\"")?;
        let end = inside.iter().position(|b| *b == b'"')?;
        let (opaque, after) = (&inside[..end], &inside[end + 1..]);
        let plain = opaque.iter().all(|b| *b == 0x21 || (0x23..=0x7e).contains(b) || *b >= 0x80);
        plain.then(|| (Self { weak, version: version_of(opaque) }, after))
    }
}

/// Only the spelling that `etag` gives is a version: a tag is compared byte by byte, not as a number.
fn version_of(opaque: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(opaque).ok()?;
    let canonical =
        digits.starts_with(|c: char| ('1'..='9').contains(&c)) && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|version| canonical && *version != NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(given: &[(&'static str, &str)]) -> Result<Conditions, Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("plain"));
        }
        Conditions::of(&headers)
    }

    fn allowed(name: &'static str, value: &str) -> Vec<u64> {
        let conditions = conditions(&[(name, value)]).expect(value);
        (0..10).filter(|version| conditions.allow(*version)).collect()
    }

    #[test]
    fn if_match_compares_strongly() {
        assert_eq!(allowed("if-match", "\"3\""), [3]);
        assert_eq!(allowed("if-match", " \"3\" ,, \"x,y\" , \"5\","), [3, 5]);
        assert_eq!(allowed("if-match", "*"), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        for matches_nothing in ["W/\"3\"", "\"0\"", "\"03\"", "\"+3\"", "\"\"", "\"18446744073709551615\""] {
            assert_eq!(allowed("if-match", matches_nothing), [0_u64; 0], "{matches_nothing}");
        }
    }

    #[test]
    fn if_none_match_compares_weakly() {
        assert_eq!(allowed("if-none-match", "*"), [0]);
        assert_eq!(allowed("if-none-match", "W/\"3\", \"4\", \"x\""), [0, 1, 2, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn what_is_no_entity_tag_is_a_bad_request() {
        for wrong in ["3", "\"3", "3\"", "\"3\" \"4\"", "w/\"3\"", "*, \"3\"", "", ",", "\"a b\""] {
            assert!(conditions(&[("if-match", wrong)]).is_err(), "{wrong:?}");
        }
        assert!(conditions(&[("if-match", "*"), ("if-match", "\"3\"")]).is_err());
        assert!(conditions(&[("if-match", &"\"1\",".repeat(TAGS_MAX + 1))]).is_err());
        assert!(!conditions(&[]).expect("none").given());
    }

    #[test]
    fn the_first_guess_is_a_version_that_would_be_allowed_or_one_that_never_is() {
        let guess = |given: &[(&'static str, &str)]| conditions(given).expect("plain").first_guess();
        assert_eq!(guess(&[]), None);
        assert_eq!(guess(&[("if-match", "W/\"2\", \"3\""), ("if-match", "\"5\"")]), Some(3));
        assert_eq!(guess(&[("if-none-match", "*")]), Some(0));
        assert_eq!(guess(&[("if-match", "*")]), Some(NEVER));
        assert_eq!(guess(&[("if-match", "\"3\""), ("if-none-match", "\"3\"")]), Some(NEVER));
        assert_eq!(guess(&[("if-match", "\"x\"")]), Some(NEVER));
        assert_eq!(guess(&[("if-none-match", "\"3\"")]), Some(0));
    }
}
