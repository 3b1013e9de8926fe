//! The grammar of the declarations.

use std::collections::BTreeMap;

use regex_lite::Regex;

use super::{Member, Model, Operation, Place, Range, Segment, Shape};

/// Reads both files; an error says where and what.
pub(super) fn read(operations: &'static str, shapes: &'static str) -> Result<Model, String> {
    let mut model = Model {
        operations: Vec::new(),
        shapes: BTreeMap::new(),
    };
    for line in logical_lines(shapes) {
        let (name, shape) = shape(&line).map_err(|fault| format!("{}: {fault}", line.join(" ")))?;
        model.shapes.insert(name, shape);
    }
    for line in logical_lines(operations) {
        let head = line.first().copied().unwrap_or_default();
        let is_detail = ["in", "out", "errors"].contains(&head);
        let done = match (is_detail, model.operations.last_mut()) {
            (true, Some(operation)) => detail(operation, &line),
            (true, None) => Err("no operation before it".to_owned()),
            (false, _) => operation(&line).map(|operation| model.operations.push(operation)),
        };
        done.map_err(|fault| format!("{}: {fault}", line.join(" ")))?;
    }
    model.operations.sort_by_key(|operation| operation.name);
    check_names(&model)?;
    Ok(model)
}

/// Words of each line with those of the lines that go on with it. A shape's pattern is one word: it begins with
/// a slash and goes to the end of its line.
fn logical_lines(text: &'static str) -> Vec<Vec<&'static str>> {
    let mut lines: Vec<Vec<&'static str>> = Vec::new();
    for line in text.lines() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words = words(line);
        match (line.starts_with("     "), lines.last_mut()) {
            (true, Some(last)) => last.extend(words),
            (_, _) => lines.push(words),
        }
    }
    lines
}

fn words(line: &'static str) -> Vec<&'static str> {
    let (before, pattern) = match line.find(" /") {
        Some(at) if line.ends_with('/') => line.split_at(at),
        Some(_) | None => (line, ""),
    };
    let (before, meaning) = match before.find('"') {
        Some(at) => before.split_at(at),
        None => (before, ""),
    };
    let pattern = pattern.trim_start();
    let patterns = pattern
        .strip_prefix('/')
        .and_then(|rest| rest.strip_suffix('/'))
        .map(|inside| inside.split("/ or /"));
    let meaning = Some(meaning).filter(|meaning| !meaning.is_empty());
    before
        .split_whitespace()
        .chain(meaning)
        .chain(patterns.into_iter().flatten())
        .collect()
}

fn operation(line: &[&'static str]) -> Result<Operation, String> {
    let [name, method, uri, status, rest @ ..] = line else {
        return Err("expected NAME METHOD PATH STATUS".to_owned());
    };
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let segment = |part: &'static str| {
        let label = part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'));
        label.map_or(Segment::Fixed(part), Segment::Label)
    };
    Ok(Operation {
        name,
        method,
        path: path
            .trim_start_matches('/')
            .split('/')
            .map(segment)
            .collect(),
        query: query.split_once('='),
        status: status.parse().map_err(|_| "no status".to_owned())?,
        namespace: rest.first().copied(),
        input: Vec::new(),
        output: Vec::new(),
        errors: Vec::new(),
    })
    .and_then(|operation| match rest.len() {
        0 | 1 => Ok(operation),
        _ => Err("too many words".to_owned()),
    })
}

fn detail(operation: &mut Operation, line: &[&'static str]) -> Result<(), String> {
    match line {
        ["in", members @ ..] => {
            for word in members {
                operation.input.push(input_member(word)?);
            }
        }
        ["out", members @ ..] => {
            for word in members {
                operation.output.push(member(word)?);
            }
        }
        ["errors", errors @ ..] => operation.errors.extend(errors),
        _ => {}
    }
    Ok(())
}

fn input_member(word: &'static str) -> Result<(Member, Place), String> {
    let mut member = member(word)?;
    let place = if let Some((name, label)) = member.name.split_once('@') {
        member.name = name;
        Place::Path(label)
    } else if let Some((name, key)) = member.name.split_once('?') {
        member.name = name;
        Place::Query(key)
    } else {
        Place::Body
    };
    Ok((member, place))
}

fn member(word: &'static str) -> Result<Member, String> {
    let (name, shape) = word
        .split_once(':')
        .ok_or_else(|| format!("{word}: expected NAME:SHAPE"))?;
    let (shape, is_required) = match shape.strip_suffix('!') {
        Some(shape) => (shape, true),
        None => (shape, false),
    };
    Ok(Member {
        name,
        shape,
        is_required,
    })
}

fn shape(line: &[&'static str]) -> Result<(&'static str, Shape), String> {
    let [name, kind, rest @ ..] = line else {
        return Err("expected NAME KIND".to_owned());
    };
    let shape = match (*kind, rest) {
        ("structure", members) => {
            let members: Result<Vec<Member>, String> =
                members.iter().map(|word| member(word)).collect();
            Shape::Structure(members?)
        }
        ("list", [of, length @ ..]) => Shape::List {
            of,
            length: range(length.first())?,
        },
        ("map", [keys, values, length @ ..]) => Shape::Map {
            keys,
            values,
            length: range(length.first())?,
        },
        ("enum", values) => Shape::Enum(values.to_vec()),
        ("integer", bounds) => Shape::Integer(range(bounds.first())?),
        ("boolean", []) => Shape::Boolean,
        ("timestamp", []) => Shape::Timestamp,
        ("string", rest) => text(rest)?,
        (_, _) => return Err("no such kind, or something is missing".to_owned()),
    };
    Ok((name, shape))
}

fn text(words: &[&'static str]) -> Result<Shape, String> {
    let bounds = words.first().filter(|word| word.contains(".."));
    let bounds = bounds.filter(|word| {
        word.bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
    });
    let length = range(bounds)?;
    let rest = words.iter().skip(usize::from(bounds.is_some()));
    let mut rest = rest.filter(|word| **word != "sensitive").peekable();
    let meaning = rest.next_if(|word| word.starts_with('"'));
    let patterns = rest.map(|pattern| {
        let whole = Regex::new(&format!("^(?s:{pattern})$"));
        whole
            .map(|regex| (*pattern, regex))
            .map_err(|error| format!("{pattern}: {error}"))
    });
    let patterns: Vec<_> = patterns.collect::<Result<_, String>>()?;
    match (meaning, patterns.is_empty()) {
        (None, false) => Err("a pattern without what it means".to_owned()),
        (_, _) => Ok(Shape::Text {
            length,
            meaning: meaning.map_or("", |meaning| meaning.trim_matches('"')),
            patterns,
        }),
    }
}

fn range(word: Option<&&'static str>) -> Result<Range, String> {
    let Some(word) = word else {
        return Ok(Range::default());
    };
    let (least, most) = word
        .split_once("..")
        .ok_or_else(|| format!("{word}: expected LEAST..MOST"))?;
    let bound = |text: &str| match text {
        "" => Ok(None),
        _ => text
            .parse()
            .map(Some)
            .map_err(|_| format!("{word}: no number")),
    };
    Ok(Range {
        least: bound(least)?,
        most: bound(most)?,
    })
}

/// Every shape that is named is there.
fn check_names(model: &Model) -> Result<(), String> {
    let mut named: Vec<&'static str> = Vec::new();
    for operation in &model.operations {
        named.extend(operation.input.iter().map(|(member, _)| member.shape));
        named.extend(operation.output.iter().map(|member| member.shape));
    }
    named.extend(model.shapes.values().flat_map(Shape::parts));
    match named
        .into_iter()
        .find(|name| !model.shapes.contains_key(name))
    {
        Some(name) => Err(format!("{name}: no such shape")),
        None => Ok(()),
    }
}
