//! Patterns of keys, as `KEYS` and `SCAN` take them: `*`, `?`, `[a-c]`, `[^x]`, and `\` before what is meant as it stands.

/// Whether all of the text is what the pattern says. The time it takes grows with the length of one times that of the other.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    // Where to go on when what follows the last `*` does not fit: the `*` takes a byte more.
    let mut last: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', rest @ ..] = pattern {
            pattern = rest;
            last = Some((rest, text));
            continue;
        }
        match (text, one(pattern)) {
            ([], None) => return true,
            ([byte, after @ ..], Some((fits, rest))) if fits.takes(*byte) => {
                (pattern, text) = (rest, after);
            }
            _ => {
                let Some((behind, [_, after @ ..])) = last else { return false };
                (pattern, text) = (behind, after);
                last = Some((behind, after));
            }
        }
    }
}

/// What takes one byte.
enum Fits<'p> {
    Any,
    Byte(u8),
    /// One of these, ranges among them; or none of them.
    Among(&'p [u8], bool),
}

/// The first part of a pattern, and the rest; `None` at its end.
fn one(pattern: &[u8]) -> Option<(Fits<'_>, &[u8])> {
    Some(match pattern {
        [] => return None,
        [b'?', rest @ ..] => (Fits::Any, rest),
        [b'\\', byte, rest @ ..] => (Fits::Byte(*byte), rest),
        [b'[', rest @ ..] => {
            let (is_not, rest) = rest.strip_prefix(b"^").map_or((false, rest), |rest| (true, rest));
            let mut end = 0;
            while end < rest.len() && rest[end] != b']' {
                end += if rest[end] == b'\\' { 2 } else { 1 };
            }
            // One that is not closed goes on to the end, as with Redis.
            let end = end.min(rest.len());
            (Fits::Among(&rest[..end], is_not), rest.get(end + 1..).unwrap_or_default())
        }
        [byte, rest @ ..] => (Fits::Byte(*byte), rest),
    })
}

impl Fits<'_> {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Any => true,
            Self::Byte(this) => byte == *this,
            Self::Among(set, is_not) => among(set, byte) != *is_not,
        }
    }
}

fn among(mut set: &[u8], byte: u8) -> bool {
    loop {
        let (found, rest) = match set {
            [] => return false,
            [b'\\', this, rest @ ..] => (byte == *this, rest),
            [from, b'-', to, rest @ ..] => ((*from.min(to)..=*from.max(to)).contains(&byte), rest),
            [this, rest @ ..] => (byte == *this, rest),
        };
        if found {
            return true;
        }
        set = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_pattern_fits_what_redis_says_it_fits() {
        for (pattern, fits, fits_not) in [
            ("*", &["", "a", "abc"][..], &[][..]),
            ("sess:*", &["sess:", "sess:1"], &["sess", "xsess:1"]),
            ("*:7", &[":7", "a:7", "a:7:7"], &["a:7:", "7"]),
            ("a*b*c", &["abc", "axxbxbc"], &["ab", "acb"]),
            ("h?llo", &["hello", "hallo"], &["hllo", "heello"]),
            ("h[ae]llo", &["hello", "hallo"], &["hillo", "hllo"]),
            ("h[^e]llo", &["hallo"], &["hello"]),
            ("h[a-c]llo", &["hbllo"], &["hdllo"]),
            ("h[c-a]llo", &["hbllo"], &["hdllo"]),
            ("\\*", &["*"], &["a", "\\*"]),
            ("[\\]]x", &["]x"], &["x"]),
            ("a[b", &["ab"], &["a", "a[b"]),
            ("", &[""], &["a"]),
        ] {
            for text in fits {
                assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} and {text}");
            }
            for text in fits_not {
                assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} and {text}");
            }
        }
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        assert!(!matches(&b"a*".repeat(200), &b"a".repeat(20_000)[..19_999].iter().map(|_| b'b').collect::<Vec<_>>()));
        assert!(!matches(&[b"*a".repeat(500), b"b".to_vec()].concat(), &b"a".repeat(5_000)));
    }
}
