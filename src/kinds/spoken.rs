//! `Spoken`: a command or a question with its type forgotten: its name, its bytes, and how it and its reply read in words.

use std::fmt::{self, Debug};

use crate::{
    blob::Blob,
    session::Command,
    wire::codec::{self, CodecFault},
};

/// See the module.
#[derive(Clone)]
pub(crate) struct Spoken {
    /// `Command::NAME`.
    pub name: &'static str,
    /// Encoded.
    pub payload: Blob,
    /// As `Debug` says it.
    pub words: String,
    reply_in_words: fn(&[u8]) -> String,
}

impl Spoken {
    /// Forgets the type of a command.
    pub(crate) fn of<C: Command<Reply: Debug> + Debug>(command: &C) -> Result<Self, CodecFault> {
        Ok(Self {
            name: C::NAME,
            payload: codec::encode_named(command, usize::MAX)?,
            words: format!("{command:?}"),
            reply_in_words: |bytes| match codec::decode::<C::Reply>(bytes, usize::MAX) {
                Ok(reply) => format!("{reply:?}"),
                Err(why) => format!("a reply that cannot be read: {why}"),
            },
        })
    }

    /// What an encoded reply to it says.
    pub(crate) fn reply_in_words(&self, reply: &[u8]) -> String {
        (self.reply_in_words)(reply)
    }
}

impl Debug for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}
