//! Errors that point into a text.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// What is wrong, and where in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// What is wrong and what to do.
    pub message: String,
    /// Where, in bytes.
    pub span: Range<usize>,
    /// What to do about it, if the message does not say.
    pub help: Option<String>,
}

impl Problem {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { message: message.into(), span, help: None }
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The problem with the text that it is in.
    pub(super) fn within(self, path: &Path, text: &str) -> BifError {
        let before = text.get(..self.span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        let annotation = AnnotationKind::Primary.span(self.span.clone());
        let title = Level::ERROR.primary_title(self.message.as_str());
        let name = path.display().to_string();
        let mut group = title.element(Snippet::source(text).path(name).annotation(annotation));
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let report = Renderer::plain().render(&[group]);
        BifError { path: path.to_owned(), line, column, message: self.message, report }
    }
}

/// A text that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BifError {
    /// The file.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The message with the line that it is about and a caret below the place.
    report: String,
}

impl fmt::Display for BifError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The caller says that it is an error.
        out.write_str(self.report.strip_prefix("error: ").unwrap_or(&self.report))
    }
}

impl std::error::Error for BifError {}
