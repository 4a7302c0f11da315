//! A file for each partition, for flash programmers that write them one by one.

use std::path::{Path, PathBuf};

use super::{Bin, Format, Mcs, OutputError, Sink};

/// Writes headers and boot loader to one file, and each other partition to its own.
pub struct Split {
    folder: PathBuf,
    format: Format,
    /// The file that is being written.
    current: Option<Box<dyn Sink>>,
    /// The file that the next byte begins.
    next: Option<PathBuf>,
}

impl Split {
    /// Creates the first file, `name` in `folder`; the others will be beside it.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn create(folder: &Path, name: &str, format: Format) -> Result<Self, OutputError> {
        let path = folder.join(format!("{name}.{}", format.extension()));
        let current = Some(format.create(&path)?);
        Ok(Self { folder: folder.to_owned(), format, current, next: None })
    }
}

impl Sink for Split {
    fn partition(&mut self, name: &str, segment: usize, bootloader: bool) -> Result<(), OutputError> {
        if !bootloader {
            let extension = self.format.extension();
            let name =
                if segment == 0 { format!("{name}.{extension}") } else { format!("{name}.{segment}.{extension}") };
            self.next = Some(self.folder.join(name));
        }
        Ok(())
    }

    fn write(&mut self, place: u64, bytes: &[u8]) -> Result<(), OutputError> {
        if let Some(path) = self.next.take() {
            if let Some(sink) = &mut self.current {
                // A file reaches to the begin of the next one.
                sink.write(place, &[])?;
                sink.finish()?;
            }
            self.current = Some(match self.format {
                Format::Bin { fill } => Box::new(Bin::create(&path, fill)?.starting_at(place)),
                Format::Mcs { fill, crosses } => Box::new(Mcs::create(&path, fill, crosses)?.starting_at(place)),
            });
        }
        self.current.as_mut().map_or(Ok(()), |sink| sink.write(place, bytes))
    }

    fn finish(&mut self) -> Result<(), OutputError> {
        self.current.as_mut().map_or(Ok(()), |sink| sink.finish())
    }
}
