//! Checks the checksums that a board prints against what was put on its card.
//!
//! One line per file, `SUM <sha256> <bytes> </PATH>`, in any order, and at the end a line
//! `sd-sum: <n> files, <bytes> bytes`. The expected values are computed on the host from the same bytes that
//! went onto the card, so nothing that the board prints is taken for granted.

use std::collections::BTreeSet;

/// Most differences that are listed one by one.
const LISTED: usize = 10;

/// A file as it is on the card.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// Absolute path with `/`, long names where there are any.
    pub path: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal digits.
    pub sha256: String,
}

impl File {
    fn line(&self) -> String {
        format!("SUM {} {} {}", self.sha256, self.bytes, self.path)
    }
}

/// Compares `lines` (labels removed) with the files that are on the card.
///
/// Returns what is wrong, one sentence each; nothing if every file was printed exactly once with
/// its right sum, nothing else was, and the closing line agrees.
pub fn compare<'a>(files: &[File], lines: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut missing: BTreeSet<String> = files.iter().map(File::line).collect();
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    let closing = format!("sd-sum: {} files, {total} bytes", files.len());
    let mut problems = Vec::new();
    let mut closed = false;
    for line in lines {
        if line.starts_with("SUM ") {
            if !missing.remove(line) {
                problems.push(format!("not on the card, or printed twice: {line}"));
            }
        } else if line.starts_with("sd-sum: ") && line.ends_with(" bytes") {
            closed |= line == closing;
            if line != closing {
                problems.push(format!("expected `{closing}`, got `{line}`"));
            }
        }
    }
    problems.extend(missing.iter().map(|line| format!("missing: {line}")));
    if !closed {
        problems.push(format!("the line `{closing}` was not printed"));
    }
    if problems.len() > LISTED {
        let more = problems.len() - LISTED;
        problems.truncate(LISTED);
        problems.push(format!("and {more} more"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<File> {
        let file = |path: &str, bytes| File { path: path.into(), bytes, sha256: "ab".into() };
        vec![file("/A.TXT", 1), file("/B C/long name", 2)]
    }

    #[test]
    fn the_right_lines_in_any_order_are_accepted() {
        let lines = ["SUM ab 2 /B C/long name", "hello", "SUM ab 1 /A.TXT", "sd-sum: 2 files, 3 bytes"];
        assert_eq!(compare(&files(), lines), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_named() {
        let lines = ["SUM ab 1 /A.TXT", "SUM ab 1 /A.TXT", "SUM cd 2 /B C/long name"];
        let problems = compare(&files(), lines);
        assert_eq!(problems.len(), 4, "{problems:#?}");
        assert!(compare(&files(), []).len() == 3);
        assert_eq!(compare(&[], ["sd-sum: 0 files, 0 bytes"]), Vec::<String>::new());
        assert_eq!(compare(&[], ["sd-sum: 1 files, 0 bytes"]).len(), 2);
    }
}
