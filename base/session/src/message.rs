//! Messages and their typed forms.
//!
//! # Theory of operation
//!
//! Every request is a label, some words, at most one text, and capabilities. [`protocol!`](crate::protocol) turns an enum into a
//! protocol: each variant gets the label written beside it, and its fields become the first words in the order in which
//! they are declared. A text follows the words as its length in bytes and the bytes packed four to a word, first
//! byte lowest. Decoding checks everything: an unknown label, missing words or a text that is not UTF-8 yield `None`.
//!
//! The label of an answer is 0, or the wire value of an [`Error`](crate::Error).

/// Most words of a message that a session interface uses.
pub const WORDS: usize = 64;
/// Longest text of a message, in bytes.
pub const TEXT: usize = 200;

/// A message on its way: label and words. Capabilities travel beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What the message asks for; in an answer 0 or an error.
    pub label: u32,
    words: [u32; WORDS],
    len: usize,
}

impl Message {
    /// A message without words.
    pub const fn new(label: u32) -> Self {
        Self { label, words: [0; WORDS], len: 0 }
    }

    /// A message with the given words; those beyond [`WORDS`] are dropped.
    pub fn from_words(label: u32, words: &[u32]) -> Self {
        let mut message = Self::new(label);
        for word in words {
            message.push(*word);
        }
        message
    }

    /// Appends a word. A message that is full stays as it is, and its receiver refuses it.
    pub fn push(&mut self, word: u32) {
        if let Some(slot) = self.words.get_mut(self.len) {
            *slot = word;
            self.len += 1;
        }
    }

    /// Word `index`, if the message has it.
    pub fn word(&self, index: usize) -> Option<u32> {
        self.words().get(index).copied()
    }

    /// All words.
    pub fn words(&self) -> &[u32] {
        self.words.get(..self.len).unwrap_or(&[])
    }

    /// Appends a text of at most [`TEXT`] bytes; a longer one is cut at a character boundary.
    pub fn push_text(&mut self, text: &str) {
        let text = text.get(..text.floor_char_boundary(TEXT)).unwrap_or("");
        self.push(text.len() as u32);
        for chunk in text.as_bytes().chunks(4) {
            let mut bytes = [0; 4];
            for (to, from) in bytes.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.push(u32::from_le_bytes(bytes));
        }
    }

    /// The text that starts at word `index`.
    pub fn text(&self, index: usize) -> Option<Text> {
        let len = self.word(index)? as usize;
        let words = self.words().get(index + 1..index + 1 + len.div_ceil(4))?;
        if len > TEXT {
            return None;
        }
        let mut bytes = heapless::Vec::<u8, { TEXT.next_multiple_of(4) }>::new();
        for word in words {
            bytes.extend_from_slice(&word.to_le_bytes()).ok()?;
        }
        bytes.truncate(len);
        let text = core::str::from_utf8(&bytes).ok()?;
        Text::try_from(text).ok()
    }
}

/// A text that came in a message.
pub type Text = heapless::String<TEXT>;

/// Turns an enum with named `u32` fields into a protocol.
///
/// Each variant names its label; `encode` and `decode` convert to and from [`Message`].
#[macro_export]
macro_rules! protocol {
    ($(#[$doc:meta])* pub enum $name:ident {
        $($(#[$vdoc:meta])* $variant:ident = $label:literal $({ $($(#[$fdoc:meta])* $field:ident),* $(,)? })?,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$vdoc])* $variant $({ $($(#[$fdoc])* $field: u32),* })?,)*
        }

        impl $name {
            /// The message that carries this.
            pub fn encode(self) -> $crate::Message {
                match self {
                    $(Self::$variant $({ $($field),* })? => $crate::Message::from_words($label, &[$($($field),*)?]),)*
                }
            }

            /// What a message carries, and the index of the first word behind it.
            pub fn decode(message: &$crate::Message) -> Option<(Self, usize)> {
                #[allow(unused_mut, unused_variables)]
                let mut next = 0;
                #[allow(unused_mut, unused_variables)]
                let mut word = || {
                    next += 1;
                    message.word(next - 1)
                };
                let request = match message.label {
                    $($label => Self::$variant $({ $($field: word()?),* })?,)*
                    _ => return None,
                };
                Some((request, next))
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[allow(unreachable_pub, reason = "protocols are public elsewhere")]
    mod sample {
        crate::protocol! {
            /// A protocol to try.
            pub enum Sample {
                /// Nothing else.
                Bare = 3,
                /// Two words.
                Pair = 9 {
                    /// One.
                    one,
                    /// Other.
                    other,
                },
            }
        }
    }
    use sample::Sample;

    #[test]
    fn requests_survive_the_wire() {
        for request in [Sample::Bare, Sample::Pair { one: 7, other: u32::MAX }] {
            let mut message = request.encode();
            message.push_text("häuser");
            let (back, next) = Sample::decode(&message).unwrap();
            assert_eq!(back, request);
            assert_eq!(message.text(next).unwrap(), "häuser");
        }
    }

    #[test]
    fn short_and_unknown_messages_are_refused() {
        assert_eq!(Sample::decode(&Message::from_words(9, &[1])), None);
        assert_eq!(Sample::decode(&Message::new(4)), None);
        assert_eq!(Message::from_words(0, &[5, 0x6161_6161]).text(0), None);
        assert_eq!(Message::from_words(0, &[2, 0xffff_ffff]).text(0), None);
    }

    proptest! {
        #[test]
        fn any_words_decode_without_panic(label in 0u32..12, words in proptest::collection::vec(any::<u32>(), 0..70), at in 0usize..80) {
            let message = Message::from_words(label, &words);
            let _ = Sample::decode(&message);
            let _ = message.text(at);
        }

        #[test]
        fn texts_survive_the_wire(text in "\\PC{0,80}") {
            let mut message = Message::new(0);
            message.push_text(&text);
            let back = message.text(0).unwrap();
            prop_assert!(text.starts_with(back.as_str()));
            prop_assert!(back.len() == text.len() || back.len() > TEXT - 4);
        }
    }
}
