//! Problems in a text file, shown where they are: file, line, column, the line itself and a caret.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where, in bytes of the text.
    pub(crate) span: Range<usize>,
    /// What is wrong.
    pub(crate) title: String,
    /// A word beside the caret; may be empty.
    pub(crate) label: String,
    /// What to do; may be empty.
    pub(crate) help: String,
}

impl Problem {
    /// A problem at `span`.
    pub(crate) fn new(span: Range<usize>, title: impl Into<String>) -> Self {
        Self { span, title: title.into(), label: String::new(), help: String::new() }
    }

    /// Adds a word beside the caret.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds advice.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }
}

impl From<toml::de::Error> for Problem {
    fn from(error: toml::de::Error) -> Self {
        Self::new(error.span().unwrap_or(0..0), error.message().trim_end())
    }
}

/// The problems of one text.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// What the text is called.
    pub(crate) path: String,
    /// The text.
    pub(crate) source: String,
    /// The problems, at least one.
    pub(crate) problems: Vec<Problem>,
}

impl Report {
    /// The report as text, with colour or without.
    pub(crate) fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut text = String::new();
        for problem in &self.problems {
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            text.push_str(&renderer.render(&[self.group(problem)]));
        }
        text
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        // A span may come from a parser that stopped at the end of the text.
        let end = problem.span.end.min(self.source.len());
        let start = problem.span.start.min(end);
        let mut annotation = AnnotationKind::Primary.span(start..end);
        if !problem.label.is_empty() {
            annotation = annotation.label(problem.label.as_str());
        }
        let snippet =
            Snippet::source(self.source.as_str()).path(self.path.as_str()).line_start(1).annotation(annotation);
        let group = Level::ERROR.primary_title(problem.title.as_str()).element(snippet);
        if problem.help.is_empty() { group } else { group.element(Level::HELP.message(problem.help.as_str())) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}
