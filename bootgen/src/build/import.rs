//! Partitions taken from another image.
//!
//! A partition keeps what its header says about it; places, checksums and MD5 digests are made anew, since everything may
//! lie elsewhere. A signature is about places, too, so signed images cannot be taken apart like this.

use std::path::Path;
use std::sync::Arc;

use bootimage::boot::KeySource as StoredKeySource;
use bootimage::partition::{Destination as StoredDestination, Owner as StoredOwner};

use super::partition::{Destination, Loaded, Omitted, Partition};
use super::{BuildError, headers};
use crate::bif::{Input, Owner};
use crate::check::FileSource;
use crate::crypto::aes::KeySource;
use crate::payload::Payload;

/// What an image's boot header has that its partition headers do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BootFields {
    pub(super) key_source: Option<KeySource>,
    pub(super) udf: [u8; headers::UDF_BOOT],
    pub(super) inits: Vec<(u32, u32)>,
}

/// Adds all partitions of the image in the input's file.
pub(super) fn import(input: &Input, loaded: &mut Loaded) -> Result<(), BuildError> {
    let failed = |reason: String| BuildError::Import { path: input.path.clone(), reason };
    let source = FileSource::open(&input.path).map_err(|error| failed(error.to_string()))?;
    let mut image = bootimage::Image::open(source).map_err(|error| failed(error.to_string()))?;
    let boot = *image.boot();
    let images: Vec<_> = image.images().collect::<Result<_, _>>().map_err(|error| failed(error.to_string()))?;
    let stored: Vec<_> = image.partitions().collect::<Result<_, _>>().map_err(|error| failed(error.to_string()))?;
    let file: Arc<Path> = Arc::from(input.path.as_path());
    for entry in images {
        let number = loaded.names.len();
        let own = stored.iter().filter(|partition| u64::from(partition.header.image_header.get()) * 4 == entry.base);
        for (segment, partition) in own.enumerate() {
            let header = &partition.header;
            if header.attributes().is_signed() {
                return Err(failed(format!(
                    "partition {} is signed, and its signature would not be right at another place; build the image anew",
                    partition.index
                )));
            }
            let data = partition.data();
            let (stored, bootloader) = (data.end - data.start, data.start == u64::from(boot.source_offset.get()));
            let (head, tail) = (header.attributes().head_pad().into(), header.attributes().tail_pad().into());
            let encrypted = header.encrypted_length != header.unencrypted_length;
            let plain_words = u64::from(header.unencrypted_length.get());
            let plain_bytes = if bootloader { boot.length.get().into() } else { plain_words * 4 };
            loaded.partitions.push(Partition {
                name: entry.name.to_string(),
                path: input.path.clone(),
                image: number,
                segment,
                bootloader,
                destination: match header.attributes().destination() {
                    Some(StoredDestination::Pl) => Destination::Logic,
                    Some(StoredDestination::Ps) | None => Destination::Processor,
                },
                owner: match header.attributes().owner() {
                    Some(StoredOwner::UBoot) => Owner::Uboot,
                    _ => Owner::Fsbl,
                },
                payload: Payload::file(&file, data.start, stored),
                sealed: false,
                stored,
                plain_words,
                plain_bytes,
                load: header.load_address.get(),
                exec: header.execution_address.get(),
                head,
                tail,
                md5: header.attributes().has_md5() == Some(true),
                signed: false,
                xip: bootloader && boot.runs_in_place(),
                udf: [0; headers::UDF_CERTIFICATE],
                presign: None,
                offset: (bootloader && boot.runs_in_place()).then_some(data.start),
                alignment: None,
                reserve: None,
                machine: None,
                masked: false,
                omitted: Omitted::default(),
                encrypted,
            });
        }
        loaded.names.push(entry.name.to_string());
    }
    let mut inits = Vec::new();
    for index in 0..bootimage::boot::REGISTER_INITS {
        let init = image.register_init(index).map_err(|error| failed(error.to_string()))?;
        if init.is_used() {
            inits.push((init.address.get(), init.value.get()));
        }
    }
    let key_source = match StoredKeySource::from_word(boot.key_source.get()) {
        Some(StoredKeySource::Bbram) => Some(KeySource::Bbram),
        Some(StoredKeySource::Efuse) => Some(KeySource::Efuse),
        _ => None,
    };
    loaded.boot.get_or_insert(BootFields { key_source, udf: boot.user_defined, inits });
    Ok(())
}
