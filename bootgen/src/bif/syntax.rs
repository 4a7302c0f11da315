//! The grammar of BIFs.
//!
//! ```text
//! file       = { group }
//! group      = name ":" block
//! block      = "{" { statement } "}"
//! statement  = [ "[" attribute { "," attribute } "]" ] file-name
//!            | attribute                                         (with a value, and about the whole image)
//!            | [ "partition" ] "{" attribute { "," attribute } "}"
//!            | "image" block
//! attribute  = name [ "=" ( expression | file-name | word ) ]
//! ```
//!
//! Comments are `// ...` and `/* ... */`. Commas and semicolons between statements are ignored.

use std::ops::Range;

use super::error::Problem;
use super::scan::Scanner;
pub(crate) use super::scan::Word;

/// One image's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Its name.
    pub name: Word,
    /// What it consists of, in the order of the text.
    pub statements: Vec<Statement>,
}

/// `[attributes] file`, or the same in the newer syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// The attributes.
    pub attributes: Vec<Attribute>,
    /// What stands behind them: a file's name, for some attributes a word.
    pub file: Word,
}

/// `name` or `name = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    /// The name.
    pub name: Word,
    /// The value.
    pub value: Option<Value>,
}

/// An attribute's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Of an attribute that has a number: see [`is_number`].
    Number(u64, Range<usize>),
    /// Of any other.
    Word(Word),
}

/// Whether the value of the attribute `name` is a number.
pub(crate) fn is_number(name: &str) -> bool {
    matches!(name, "load" | "startup" | "offset" | "alignment" | "reserve" | "reserve_legacy" | "id")
}

/// Parses a text.
///
/// # Errors
///
/// At the first thing that the grammar does not have.
pub(crate) fn parse(text: &str) -> Result<Vec<Group>, Problem> {
    let mut scanner = Scanner::new(text);
    let mut groups = Vec::new();
    while scanner.peek()?.is_some() {
        let name = scanner.name("the name of an image")?;
        scanner.expect(":", "behind the image's name")?;
        scanner.expect("{", "before the image's contents")?;
        let mut statements = Vec::new();
        block(&mut scanner, &mut statements, 0)?;
        groups.push(Group { name, statements });
    }
    if groups.is_empty() {
        return Err(scanner.unexpected("an image: a name, `:`, and its contents in braces"));
    }
    Ok(groups)
}

/// Statements up to the closing brace.
fn block(scanner: &mut Scanner<'_>, statements: &mut Vec<Statement>, depth: usize) -> Result<(), Problem> {
    loop {
        match scanner.peek()? {
            Some('}') => return scanner.expect("}", ""),
            Some(',' | ';') => {
                let _ = scanner.accept(",")? || scanner.accept(";")?;
            }
            Some('[') => {
                scanner.expect("[", "")?;
                let attributes = attributes(scanner, "]")?;
                let file = scanner.value("a file name")?;
                statements.push(Statement { attributes, file });
            }
            Some('{') => statements.push(partition(scanner)?),
            None => return Err(scanner.unexpected("`}` at the end of the image")),
            Some(_) => word(scanner, statements, depth)?,
        }
    }
}

/// A statement that begins with a word: its meaning depends on what follows.
fn word(scanner: &mut Scanner<'_>, statements: &mut Vec<Statement>, depth: usize) -> Result<(), Problem> {
    let start = scanner.clone();
    let file = scanner.value("an attribute or a file name")?;
    match scanner.peek()? {
        Some('{') if file.text == "partition" => statements.push(partition(scanner)?),
        Some('{') if file.text == "image" && depth == 0 => {
            scanner.expect("{", "")?;
            block(scanner, statements, depth + 1)?;
        }
        Some('=') => {
            *scanner = start;
            let attribute = attribute(scanner)?;
            match attribute.value {
                // An image's name and number have a meaning for other chips only.
                _ if depth > 0 && matches!(attribute.name.text.as_str(), "name" | "id") => {}
                Some(Value::Word(file)) => {
                    let attributes = vec![Attribute { name: attribute.name, value: None }];
                    statements.push(Statement { attributes, file });
                }
                _ => return Err(Problem::new(attribute.name.span, "this attribute belongs to a partition")),
            }
        }
        _ => statements.push(Statement { attributes: Vec::new(), file }),
    }
    Ok(())
}

/// `{ type = ..., file = ... }`.
fn partition(scanner: &mut Scanner<'_>) -> Result<Statement, Problem> {
    let start = scanner.at();
    scanner.expect("{", "before the partition's attributes")?;
    let mut attributes = attributes(scanner, "}")?;
    let is_file = |attribute: &Attribute| attribute.name.text == "file";
    let Some(place) = attributes.iter().position(is_file) else {
        return Err(Problem::new(start..scanner.at(), "this partition has no `file = ...`"));
    };
    let file = attributes.remove(place);
    match file.value {
        Some(Value::Word(word)) => Ok(Statement { attributes, file: word }),
        _ => Err(Problem::new(file.name.span, "`file` needs a value")),
    }
}

fn attributes(scanner: &mut Scanner<'_>, end: &str) -> Result<Vec<Attribute>, Problem> {
    let mut attributes = vec![attribute(scanner)?];
    while !scanner.accept(end)? {
        if !scanner.accept(",")? {
            return Err(scanner.unexpected(&format!("`,` or `{end}`")));
        }
        attributes.push(attribute(scanner)?);
    }
    Ok(attributes)
}

fn attribute(scanner: &mut Scanner<'_>) -> Result<Attribute, Problem> {
    let name = scanner.name("an attribute")?;
    if !scanner.accept("=")? {
        return Ok(Attribute { name, value: None });
    }
    scanner.skip()?;
    let start = scanner.at();
    let value = if is_number(&name.text) {
        let number = scanner.expression()?;
        Value::Number(number, start..scanner.at())
    } else {
        Value::Word(scanner.value("a value")?)
    };
    Ok(Attribute { name, value: Some(value) })
}
