//! Prints the sums of all files in the image of an SD card, as the component prints those of the card itself.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, anyhow};
use zelkova_sd_sum::{BLOCK, Buffers, MAX_REQUEST, Source, sum};

struct Image {
    file: File,
    blocks: u32,
    buffer: Vec<u8>,
}

impl Image {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let blocks = u32::try_from(file.metadata()?.len() / BLOCK as u64)
            .with_context(|| format!("{} has more than 2 TiB", path.display()))?;
        Ok(Self { file, blocks, buffer: vec![0; MAX_REQUEST as usize * BLOCK] })
    }
}

impl Source for Image {
    type Error = io::Error;

    fn blocks(&self) -> u32 {
        self.blocks
    }

    fn read(&mut self, first: u32, count: u32) -> io::Result<&[u8]> {
        let bytes = self.buffer.get_mut(..count as usize * BLOCK).ok_or(io::ErrorKind::InvalidInput)?;
        self.file.read_exact_at(bytes, u64::from(first) * BLOCK as u64)?;
        Ok(bytes)
    }
}

fn main() -> anyhow::Result<()> {
    let path = std::env::args_os().nth(1).context("usage: sums IMAGE")?;
    let mut image = Image::open(Path::new(&path))?;
    let mut buffers = Box::new(Buffers::new());
    let totals = sum(&mut image, &mut buffers, |file| println!("{file}"));
    println!("{}", totals.map_err(|failure| anyhow!("{failure}"))?);
    Ok(())
}
