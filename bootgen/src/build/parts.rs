//! The parts of an image: what is placed, and what it consists of once it is placed.

use super::import::BootFields;
use super::layout::Request;
use super::partition::{Destination, Partition};
use super::{BuildError, Content, GRAIN, Section, headers, read_text};
use crate::bif::{Owner, Spec, text};

/// Headers that an image has room for without moving what follows.
const ROOM: u64 = 14;

/// Bits of a partition's attributes.
mod attributes {
    pub(super) const HEAD: u32 = 2;
    pub(super) const DESTINATION: u32 = 4;
    pub(super) const MD5: u32 = 1 << 12;
    pub(super) const SIGNED: u32 = 1 << 15;
    pub(super) const UBOOT: u32 = 1 << 16;
}

/// Bytes of an MD5 digest.
const MD5: u64 = 16;

/// The parts of an image in their order: boot header, image header table, image headers, partition headers and an
/// empty one, certificate of these, partitions, digests.
pub(super) struct Parts<'a> {
    pub(super) requests: Vec<Request>,
    /// Which of these the partitions are; a certificate follows those that are signed.
    data: Vec<usize>,
    images: &'a [String],
    partitions: &'a [Partition],
    /// Whether the tables have a certificate. Image headers are filled up then.
    certified: bool,
}

/// Where the kinds of parts begin among all.
struct Indices {
    images: usize,
    headers: usize,
    certificate: usize,
    md5s: usize,
}

impl<'a> Parts<'a> {
    pub(super) fn new(images: &'a [String], partitions: &'a [Partition], certified: bool) -> Self {
        let plain = |length| Request { length, ..Request::default() };
        // What the last header reserves for those that could still follow.
        let room = |used: usize| (used as u64) < ROOM;
        let more = |used: usize| (1 + ROOM - used as u64) * GRAIN;
        let mut requests =
            vec![plain(headers::BOOT_HEADER), Request { alignment: Some(GRAIN), ..plain(headers::TABLE) }];
        for (index, name) in images.iter().enumerate() {
            let size = headers::image_size(name);
            let length = if certified { size.next_multiple_of(GRAIN) } else { size };
            let last = index + 1 == images.len();
            requests
                .push(Request { reserve: (last && room(images.len())).then(|| more(images.len())), ..plain(length) });
        }
        requests.extend(partitions.iter().map(|_| plain(headers::TABLE)));
        let certificate = if certified { 0 } else { headers::CERTIFICATE };
        let more = if room(partitions.len()) { more(partitions.len()) } else { 0 };
        let reserve = Some(more + certificate).filter(|&reserve| reserve > 0);
        requests.push(Request { reserve, ..plain(headers::TABLE) });
        if certified {
            requests.push(plain(headers::CERTIFICATE));
        }
        let mut data = Vec::with_capacity(partitions.len());
        for partition in partitions {
            data.push(requests.len());
            requests.push(Request {
                length: partition.padded(),
                offset: partition.offset,
                alignment: partition.alignment,
                masked: partition.masked,
                reserve: partition.reserve,
                continues: partition.segment > 0,
            });
            if partition.signed {
                requests.push(plain(headers::CERTIFICATE));
            }
        }
        requests.extend(partitions.iter().filter(|partition| partition.md5).map(|_| plain(MD5)));
        Self { requests, data, images, partitions, certified }
    }

    fn indices(&self) -> Indices {
        let images = 2;
        let headers = images + self.images.len();
        let certificate = headers + self.partitions.len() + 1;
        let md5s = self.requests.len() - self.partitions.iter().filter(|partition| partition.md5).count();
        Indices { images, headers, certificate, md5s }
    }

    /// What a part is called in messages.
    pub(super) fn name(&self, part: usize) -> String {
        let data = self.data.iter().position(|&data| data == part).and_then(|index| self.partitions.get(index));
        data.map_or_else(|| "a table".to_owned(), |partition| partition.name.clone())
    }

    /// Checks that headers can express all places.
    ///
    /// # Errors
    ///
    /// When one cannot.
    pub(super) fn check_size(&self, places: &[u64]) -> Result<(), BuildError> {
        for (part, (place, request)) in places.iter().zip(&self.requests).enumerate() {
            let end = place + request.length;
            if end > u64::from(u32::MAX) {
                return Err(BuildError::TooLarge { what: self.name(part), end });
            }
        }
        Ok(())
    }

    /// The boot header.
    ///
    /// # Errors
    ///
    /// When a file that it takes something from cannot be read.
    pub(super) fn boot(
        &self,
        spec: &Spec,
        places: &[u64],
        imported: Option<&BootFields>,
    ) -> Result<Vec<u8>, BuildError> {
        let indices = self.indices();
        let place = |part: usize| places.get(part).copied().unwrap_or(0) as u32;
        let inits = match &spec.init {
            Some(path) => text::register_inits(path, &read_text(path)?)?,
            None => imported.map_or_else(Vec::new, |imported| imported.inits.clone()),
        };
        let udf = match &spec.udf_bh {
            Some(path) => text::hex_bytes(path, &read_text(path)?)?,
            None => imported.map_or([0; headers::UDF_BOOT], |imported| imported.udf),
        };
        let mut boot = headers::Boot {
            key_source: None,
            source: 0,
            length: 0,
            load: 0,
            exec: 0,
            total_length: 0,
            udf,
            image_table: place(1),
            partitions: place(indices.headers),
            inits,
        };
        // Without a boot loader it is of no use, but is written as soon as there is anything but plain bitstreams.
        let mut partitions = self.partitions.iter();
        let any = partitions.any(|partition| partition.sealed || partition.destination == Destination::Processor);
        boot.key_source = spec.key_source.filter(|_| any).or_else(|| imported?.key_source);
        let mut data = self.data.iter().zip(self.partitions);
        if let Some((&part, loader)) = data.find(|(_, partition)| partition.bootloader) {
            boot.source = place(part);
            (boot.load, boot.exec) = (loader.load, loader.exec);
            let length = loader.plain_bytes as u32;
            let total = if loader.encrypted { loader.stored as u32 } else { length };
            if !loader.xip {
                boot.length = if loader.omitted.length { 0 } else { length };
                boot.total_length = if loader.omitted.total_length { 0 } else { total };
            }
            if loader.xip {
                boot.load = 0;
            }
        }
        Ok(headers::boot(&boot))
    }

    /// The parts with their contents.
    pub(super) fn sections(&self, boot: &[u8], places: &[u64]) -> Vec<Section> {
        let indices = self.indices();
        let words = |part: usize| (places.get(part).copied().unwrap_or(0) / 4) as u32;
        let mut contents = vec![Content::Bytes(boot.to_vec())];
        contents.push(Content::Bytes(headers::image_table(
            self.partitions.len() as u32,
            words(indices.headers),
            words(indices.images),
            if self.certified { words(indices.certificate) } else { 0 },
        )));
        let mut first = indices.headers;
        for (index, name) in self.images.iter().enumerate() {
            let count = self.partitions.iter().filter(|partition| partition.image == index).count();
            let next = if index + 1 < self.images.len() { words(indices.images + index + 1) } else { 0 };
            let mut header = headers::image(next, words(first), count as u32, name);
            if self.certified {
                header.resize(header.len().next_multiple_of(GRAIN as usize), 0xff);
            }
            contents.push(Content::Bytes(header));
            first += count;
        }
        let mut md5 = indices.md5s;
        for (index, partition) in self.partitions.iter().enumerate() {
            let part = self.data.get(index).copied().unwrap_or(0);
            let data = words(part);
            let certificate = if partition.signed { words(part + 1) } else { 0 };
            let image = words(indices.images + partition.image);
            let checksum = if partition.md5 { words(md5) } else { 0 };
            md5 += usize::from(partition.md5);
            contents.push(Content::Bytes(self.header(partition, data, image, checksum, certificate)));
        }
        contents.push(Content::Bytes(headers::partition(&headers::Partition::default())));
        if self.certified {
            contents.push(Content::HeaderCertificate);
        }
        for (index, partition) in self.partitions.iter().enumerate() {
            contents.push(Content::Partition(index));
            if partition.signed {
                contents.push(Content::Certificate(index));
            }
        }
        let digests = self.partitions.iter().enumerate().filter(|(_, partition)| partition.md5);
        contents.extend(digests.map(|(index, _)| Content::Md5(index)));
        places.iter().zip(contents).map(|(&place, content)| Section { place, content }).collect()
    }

    fn header(&self, partition: &Partition, offset: u32, image: u32, checksum: u32, certificate: u32) -> Vec<u8> {
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let attributes = partition.tail as u32
            | (partition.head as u32) << attributes::HEAD
            | (partition.destination as u32) << attributes::DESTINATION
            | flag(partition.md5, attributes::MD5)
            | flag(partition.signed, attributes::SIGNED)
            | flag(partition.owner == Owner::Uboot, attributes::UBOOT);
        let of_image = self.partitions.iter().filter(|other| other.image == partition.image).count() as u32;
        headers::partition(&headers::Partition {
            stored: (partition.stored / 4) as u32,
            plain: partition.plain_words as u32,
            total: (partition.total() / 4) as u32,
            load: partition.load,
            exec: partition.exec,
            offset,
            attributes,
            sections: if partition.segment == 0 && !partition.omitted.sections { of_image } else { 0 },
            checksum,
            image,
            certificate,
        })
    }
}
