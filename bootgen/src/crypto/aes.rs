//! AES-256 in CBC mode with an HMAC, as the Zynq-7000's decryption engine wants it.
//!
//! # Theory of operation
//!
//! The engine sits in the path that configures the programmable logic, so an encrypted partition looks like a
//! bitstream, whatever it holds. In words of 32 bits, each stored least significant byte first:
//!
//! | words | |
//! |---|---|
//! | 35 | configuration packets: sync word, key source, initialisation vector, number of words that follow |
//! | k·16 + 136 | ciphertext |
//! | 16 | NOP |
//!
//! The plaintext is an HMAC-SHA256 calculation laid out for hardware that has nothing but SHA-256: the key's inner
//! pad, the data with SHA-256's own padding, 256 zero bytes while the engine finishes, the outer pad, room for the
//! inner digest with the padding of the outer hash, and the HMAC to compare with. [`Sealer`] writes this in one pass
//! and [`Opener`] reads it, both with memory for one piece.
//!
//! The HMAC is that of the words' bytes with the most significant first. AES works on words with all 32 bits in
//! reversed order, most significant byte first: the same as the stored bytes, each with its bits reversed.
//!
//! All partitions of an image share the key; whoever makes the image chooses whether they share the initialisation
//! vector too, since each carries its own.

use aes::Aes256;
use aes::cipher::{Block, BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2_host::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The NOP packet, which fills what has no meaning.
pub const NOP: u32 = 0x2000_0000;

/// What precedes a program's words in the plaintext: a bus width packet and a write of that many words.
pub const PCAP_WRITE: u32 = 0x3001_e000;

/// The second word of [`PCAP_WRITE`], to be joined with the number of words.
pub const PCAP_COUNT: u32 = 0x5000_0000;

/// Bytes of the packets in front of the ciphertext.
pub const HEADER_SIZE: usize = 35 * 4;

/// Bytes of the NOPs behind the ciphertext.
pub const TRAILER_SIZE: usize = 16 * 4;

/// Bytes of the ciphertext that are not data.
pub const FRAMING_SIZE: usize = BLOCK + FINISH_SIZE;

/// Bytes of the plaintext behind the data: SHA padding, 256 zeros, outer pad, digest, padding, HMAC.
const FINISH_SIZE: usize = 64 + 256 + 64 + 32 + 32 + 32;

/// The hash's block and the unit of data, in bytes.
pub const BLOCK: usize = 64;

/// Where the chip keeps the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// Battery-backed RAM.
    Bbram,
    /// eFUSEs.
    Efuse,
}

/// What encrypts an image.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secrets {
    /// The AES key, as the key file prints it.
    pub key: [u8; 32],
    /// The HMAC key.
    pub hmac: [u8; 32],
    /// The initialisation vector.
    pub iv: [u8; 16],
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secrets(..)")
    }
}

/// Why an encrypted partition cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A word of the packets in front of the ciphertext is not what it has to be.
    #[error("word {index} of the encryption header is {found:#010x} instead of {expected:#010x}")]
    Header {
        /// Which of the 35 words.
        index: usize,
        /// What is there.
        found: u32,
        /// What has to be there.
        expected: u32,
    },
    /// The ciphertext's length is not 544 + 64·k bytes, or does not fit the partition's.
    #[error("the encryption header announces {words} words of ciphertext, which no partition of {size} bytes has")]
    Length {
        /// Words by the header.
        words: u32,
        /// Bytes of the whole partition.
        size: u64,
    },
    /// The inner or outer pad is not that of the HMAC key.
    #[error("the HMAC pads in the plaintext are not those of this key: wrong AES key, HMAC key or ciphertext")]
    Pad,
    /// The padding of the hashes or the zeros between them are wrong.
    #[error("the padding behind the data is damaged (byte {0} of it)")]
    Padding(usize),
    /// The HMAC does not fit the data.
    #[error("the HMAC does not fit the data")]
    Hmac,
    /// A NOP behind the ciphertext is something else.
    #[error("word {0} behind the ciphertext is no NOP")]
    Trailer(usize),
    /// More or fewer bytes were given than the header announces.
    #[error("the partition ends early or goes on behind its {0} bytes")]
    Size(u64),
}

/// The words in front of the ciphertext of `ciphertext` bytes.
pub fn header(source: KeySource, iv: &[u8; 16], ciphertext: u32) -> [u32; 35] {
    let mut words = [NOP; 35];
    let control = match source {
        KeySource::Bbram => 0x0000_0040,
        KeySource::Efuse => 0x8000_0040,
    };
    let start = [
        0xffff_ffff,
        0xffff_ffff,
        0x0000_00bb,
        0x1122_0044,
        0xffff_ffff,
        0xffff_ffff,
        0xaa99_5566,
        NOP,
        0x3000_c001,
        0x0000_0040,
        0x3000_a001,
        control,
    ];
    let mut iv_words = iv.as_chunks::<4>().0.iter().map(|&bytes| u32::from_be_bytes(bytes));
    words.iter_mut().zip(start).for_each(|(to, from)| *to = from);
    let end = std::iter::once(0x3001_6004).chain(iv_words.by_ref()).chain([0x3003_4001, ciphertext / 4]);
    words.iter_mut().skip(28).zip(end).for_each(|(to, from)| *to = from);
    words
}

/// Bytes of an encrypted partition that holds `data` bytes of plaintext, which are rounded up to [`BLOCK`].
pub const fn sealed_size(data: u64) -> u64 {
    HEADER_SIZE as u64 + (FRAMING_SIZE + TRAILER_SIZE) as u64 + data.next_multiple_of(BLOCK as u64)
}

/// One block of the cipher.
type CipherBlock = Block<Aes256>;

/// Encrypts a partition in one pass.
pub struct Sealer {
    cipher: cbc::Encryptor<Aes256>,
    mac: Hmac<Sha256>,
    hmac_key: zeroize::Zeroizing<[u8; 32]>,
    /// Bytes of data so far.
    length: u64,
}

impl Sealer {
    /// Begins a partition with `data` bytes, a multiple of [`BLOCK`]; gives what stands in front of it.
    pub fn begin(source: KeySource, secrets: &Secrets, data: u64) -> (Self, Vec<u8>) {
        let ciphertext = data + FRAMING_SIZE as u64;
        let mut out: Vec<u8> =
            header(source, &secrets.iv, ciphertext as u32).iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut sealer = Self {
            cipher: cbc::Encryptor::new(&secrets.key.into(), &reflected(&secrets.iv).into()),
            mac: new_mac(&secrets.hmac),
            hmac_key: secrets.hmac.into(),
            length: 0,
        };
        let mut pad = pad(&secrets.hmac, INNER);
        sealer.encrypt(&mut pad);
        out.extend_from_slice(&pad);
        (sealer, out)
    }

    /// Replaces `data`, stored words, by its ciphertext.
    ///
    /// All but whole blocks of [`BLOCK`] bytes are left as they are.
    pub fn update(&mut self, data: &mut [u8]) {
        let (blocks, _) = data.as_chunks_mut::<BLOCK>();
        self.length += (blocks.len() * BLOCK) as u64;
        for block in blocks.iter() {
            self.mac.update(&swapped(block));
        }
        self.encrypt(blocks.as_flattened_mut());
    }

    /// Ends the partition; gives what stands behind the data.
    pub fn finish(mut self) -> Vec<u8> {
        let hmac = self.mac.clone().finalize().into_bytes();
        let mut out = finish_padding(self.length, &self.hmac_key).to_vec();
        out.extend(hmac.iter());
        out.as_chunks_mut::<4>().0.iter_mut().skip((FINISH_SIZE - 32) / 4).for_each(|word| word.reverse());
        self.encrypt(&mut out);
        out.extend(NOP.to_le_bytes().repeat(TRAILER_SIZE / 4));
        out
    }

    fn encrypt(&mut self, bytes: &mut [u8]) {
        reflect(bytes);
        let (blocks, _) = CipherBlock::slice_as_chunks_mut(bytes);
        self.cipher.encrypt_blocks(blocks);
        reflect(bytes);
    }
}

/// Decrypts a partition in one pass, and checks all that is to be checked.
pub struct Opener {
    cipher: cbc::Decryptor<Aes256>,
    mac: Hmac<Sha256>,
    hmac_key: zeroize::Zeroizing<[u8; 32]>,
    /// Bytes of data by the header.
    length: u64,
    /// Bytes of data so far.
    done: u64,
}

impl Opener {
    /// Begins with the first [`HEADER_SIZE`] + [`BLOCK`] bytes of a partition of `size` bytes.
    ///
    /// # Errors
    ///
    /// When the packets are not those of an encrypted partition, announce another size, or the key is another one.
    pub fn begin(
        source: KeySource,
        secrets: &Secrets,
        start: &[u8; HEADER_SIZE + BLOCK],
        size: u64,
    ) -> Result<Self, OpenError> {
        let (packets, first) = start.split_at(HEADER_SIZE);
        let found: Vec<u32> = packets.as_chunks::<4>().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect();
        let words = found.last().copied().unwrap_or_default();
        let mut iv = [0; 16];
        let iv_words = packets.as_chunks::<4>().0.iter().skip(29).take(4).flat_map(|word| word.iter().rev());
        iv.iter_mut().zip(iv_words).for_each(|(to, from)| *to = *from);
        let expected = header(source, &iv, words.wrapping_mul(4));
        // The count of words is judged below.
        for (index, (&found, expected)) in found.iter().zip(expected).enumerate().take(34) {
            if found != expected {
                return Err(OpenError::Header { index, found, expected });
            }
        }
        let ciphertext = u64::from(words) * 4;
        let length = ciphertext.checked_sub(FRAMING_SIZE as u64).filter(|length| length.is_multiple_of(BLOCK as u64));
        let length = length.filter(|&length| sealed_size(length) == size).ok_or(OpenError::Length { words, size })?;
        let mut opener = Self {
            cipher: cbc::Decryptor::new(&secrets.key.into(), &reflected(&iv).into()),
            mac: new_mac(&secrets.hmac),
            hmac_key: secrets.hmac.into(),
            length,
            done: 0,
        };
        let mut first = first.to_vec();
        opener.decrypt(&mut first);
        if first != pad(&secrets.hmac, INNER) {
            return Err(OpenError::Pad);
        }
        Ok(opener)
    }

    /// Bytes of data in this partition, a multiple of [`BLOCK`].
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Replaces ciphertext by the data's stored words. Nothing of it is to be trusted before [`Opener::finish`].
    ///
    /// # Errors
    ///
    /// When `data` is no multiple of [`BLOCK`] or goes beyond [`Opener::length`].
    pub fn update(&mut self, data: &mut [u8]) -> Result<(), OpenError> {
        self.done += data.len() as u64;
        if self.done > self.length || !data.len().is_multiple_of(BLOCK) {
            return Err(OpenError::Size(sealed_size(self.length)));
        }
        self.decrypt(data);
        for block in data.as_chunks::<BLOCK>().0 {
            self.mac.update(&swapped(block));
        }
        Ok(())
    }

    /// Takes all that stands behind the data.
    ///
    /// # Errors
    ///
    /// When the HMAC or anything else there is wrong, and when data is missing.
    pub fn finish(mut self, rest: &[u8]) -> Result<(), OpenError> {
        if self.done != self.length || rest.len() != FINISH_SIZE + TRAILER_SIZE {
            return Err(OpenError::Size(sealed_size(self.length)));
        }
        let (ciphertext, trailer) = rest.split_at(FINISH_SIZE);
        let mut finish = ciphertext.to_vec();
        self.decrypt(&mut finish);
        let expected = finish_padding(self.length, &self.hmac_key);
        if let Some(place) = finish.iter().zip(expected).position(|(&found, expected)| found != expected) {
            // The outer pad is the one part of it that depends on the key.
            return Err(if (320..384).contains(&place) { OpenError::Pad } else { OpenError::Padding(place) });
        }
        let mut hmac = finish.split_off(FINISH_SIZE - 32);
        swap(&mut hmac);
        self.mac.verify_slice(&hmac).map_err(|_| OpenError::Hmac)?;
        match trailer.as_chunks::<4>().0.iter().position(|&word| u32::from_le_bytes(word) != NOP) {
            Some(word) => Err(OpenError::Trailer(word)),
            None => Ok(()),
        }
    }

    fn decrypt(&mut self, bytes: &mut [u8]) {
        reflect(bytes);
        let (blocks, _) = CipherBlock::slice_as_chunks_mut(bytes);
        self.cipher.decrypt_blocks(blocks);
        reflect(bytes);
    }
}

/// HMAC's pads (RFC 2104).
const INNER: u8 = 0x36;
const OUTER: u8 = 0x5c;

/// The key, padded to a block of the hash, as stored words.
fn pad(key: &[u8; 32], pad: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    for byte in &mut block {
        *byte ^= pad;
    }
    swapped(&block)
}

/// All between data and HMAC, as stored words.
fn finish_padding(length: u64, key: &[u8; 32]) -> [u8; FINISH_SIZE - 32] {
    let mut out = [0; FINISH_SIZE - 32];
    let bits = (length + BLOCK as u64) * 8;
    let inner = std::iter::once(0x80).chain([0; 55]).chain(bits.to_be_bytes());
    let outer = std::iter::once(0x80).chain([0; 29]).chain([0x03, 0x00]);
    let middle = [0; 256].into_iter().chain(swapped(&pad(key, OUTER))).chain([0; 32]);
    out.iter_mut().zip(inner.chain(middle).chain(outer)).for_each(|(to, from)| *to = from);
    swap(&mut out);
    out
}

/// A MAC with that key; HMAC takes keys of any length.
fn new_mac(key: &[u8; 32]) -> Hmac<Sha256> {
    let mut block = [0; BLOCK];
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    Hmac::new(&block.into())
}

/// Puts the bytes of each word in the other order.
fn swap(bytes: &mut [u8]) {
    for word in bytes.as_chunks_mut::<4>().0 {
        *word = u32::from_le_bytes(*word).to_be_bytes();
    }
}

/// The bytes of each word in the other order.
fn swapped(block: &[u8; BLOCK]) -> [u8; BLOCK] {
    let mut out = *block;
    swap(&mut out);
    out
}

/// Reverses the bits of each byte: for a stored word the same as reversing its 32 bits and storing it with the most
/// significant byte first.
fn reflect(bytes: &mut [u8]) {
    let (words, rest) = bytes.as_chunks_mut::<4>();
    for word in words {
        *word = u32::from_le_bytes(*word).reverse_bits().to_be_bytes();
    }
    for byte in rest {
        *byte = byte.reverse_bits();
    }
}

/// The initialisation vector as AES gets it.
///
/// It is written most significant byte first; its words are reversed as all others are.
fn reflected(iv: &[u8; 16]) -> [u8; 16] {
    let mut out = *iv;
    for word in out.as_chunks_mut::<4>().0 {
        word.reverse();
    }
    reflect(&mut out);
    out
}
