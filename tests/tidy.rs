//! The tree keeps its own rules: layers, purity of the core, `unsafe` in one place, short files, links
//! that lead somewhere.
//!
//! The sources are read as words: comments, literals and `#[cfg(test)]` modules are left out, so that
//! prose may name what code must not.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot read its files has failed"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of each layer, as in `src/lib.rs`.
const LAYERS: [&[&str]; 4] = [
    &[
        "instant",
        "numbering",
        "connector_id",
        "config",
        "telemetry",
    ],
    &["sip", "sdp", "media"],
    &["gateway", "shard"],
    &["net"],
];

/// The control plane stands beside layer 3: no layer uses it.
const CONTROL_PLANE: &[&str] = &["api", "store", "control"];

/// Modules that may not touch the world.
const PURE: &[&str] = &["sip", "sdp", "media", "gateway", "shard"];

/// Names that no pure module has, wherever they come from.
const IMPURE_NAMES: &[&str] = &[
    "SystemTime",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "UnixStream",
    "Mutex",
    "RwLock",
    "Condvar",
    "tokio",
    "mio",
    "socket2",
];

/// Paths that no pure module has.
const IMPURE_PATHS: &[&str] = &[
    "std::time::Instant",
    "std::thread",
    "std::env",
    "std::fs",
    "std::process",
];

const LINES_MAX: usize = 700;

#[test]
fn the_core_does_not_touch_the_world() {
    let mut faults = Vec::new();
    for module in PURE {
        for source in product_sources(module) {
            for word in &source.words {
                if IMPURE_NAMES.contains(&word.as_str()) {
                    faults.push(format!("{} names {word}", source.path.display()));
                }
            }
            for path in paths(&source.words) {
                if IMPURE_PATHS.iter().any(|impure| is_within(&path, impure)) {
                    faults.push(format!("{} names {path}", source.path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn no_layer_uses_one_above_it() {
    let mut faults = Vec::new();
    for (index, modules) in LAYERS.iter().enumerate() {
        let above = LAYERS
            .iter()
            .skip(index + 1)
            .copied()
            .flatten()
            .chain(CONTROL_PLANE);
        let forbidden: Vec<String> = above.map(|module| format!("crate::{module}")).collect();
        for source in modules.iter().flat_map(|module| product_sources(module)) {
            for path in paths(&source.words) {
                if forbidden.iter().any(|upper| is_within(&path, upper)) {
                    faults.push(format!("{} uses {path}", source.path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_module_has_its_layer() {
    let lib = words(&read(&root().join("src/lib.rs")));
    let declared: Vec<&str> = lib
        .windows(2)
        .filter(|pair| pair[0] == "mod")
        .map(|pair| pair[1].as_str())
        .collect();
    let known: Vec<&str> = LAYERS
        .concat()
        .into_iter()
        .chain(CONTROL_PLANE.iter().copied())
        .collect();
    assert!(!declared.is_empty());
    for module in &declared {
        assert!(
            known.contains(module),
            "src/lib.rs declares {module}, which has no layer in tests/tidy.rs"
        );
    }
    assert_eq!(declared.len(), known.len(), "{declared:?} and {known:?}");
}

#[test]
fn unsafe_code_is_in_net_sys_only() {
    let allowed = root().join("src/net/sys");
    let mut seen = 0;
    for path in rust_files(&root().join("src")) {
        seen += 1;
        let in_sys = path.starts_with(&allowed) || path == allowed.with_extension("rs");
        let has_unsafe = words(&read(&path)).iter().any(|word| word == "unsafe");
        assert!(in_sys || !has_unsafe, "{} has unsafe code", path.display());
    }
    assert!(seen > 10, "only {seen} source files found");
}

#[test]
fn files_are_short_enough_to_hold_one_thing() {
    let mut files = rust_files(&root().join("src"));
    files.extend(rust_files(&root().join("tests")));
    files.extend(rust_files(&root().join("benches")));
    assert!(files.len() > 10, "only {} source files found", files.len());
    for path in files {
        let lines = read(&path).lines().count();
        assert!(
            lines <= LINES_MAX,
            "{} has {lines} lines; split it",
            path.display()
        );
    }
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let documents = files_below(&root(), "md");
    let readme = root().join("README.md");
    assert!(
        documents.contains(&readme),
        "README.md is not among {documents:?}"
    );
    let mut faults = Vec::new();
    for document in documents {
        for target in relative_links(&read(&document)) {
            let directory = document.parent().unwrap();
            if !directory.join(&target).exists() {
                faults.push(format!("{} links to {target}", document.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// A source file without comments, literals and test modules.
struct Source {
    path: PathBuf,
    words: Vec<String>,
}

/// The product code of a top-level module; there is always some.
fn product_sources(module: &str) -> Vec<Source> {
    let file = root().join("src").join(module).with_extension("rs");
    let mut files = rust_files(&root().join("src").join(module));
    files.extend(Some(file).filter(|file| file.exists()));
    // A test module in its own file; its parent declares it `#[cfg(test)]`.
    files.retain(|path| !path.components().any(|part| part.as_os_str() == "tests"));
    files.retain(|path| path.file_stem().is_none_or(|stem| stem != "tests"));
    assert!(!files.is_empty(), "no source of {module} found");
    let sources = files.into_iter().map(|path| Source {
        words: without_tests(words(&read(&path))),
        path,
    });
    sources.collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    files_below(directory, "rs")
}

/// The files with an extension in a directory, if it exists, and below it; what is built or hidden is
/// left out.
fn files_below(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else {
        return files;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && !name.starts_with('.') && !["target", "data"].contains(&name.as_str()) {
            files.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files
}

/// Identifiers and single punctuation characters, `::` as one, in order. Comments are left out, and
/// the insides of literals.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = literal_length(rest) {
            length
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let end = end.unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
            end
        } else if rest.starts_with("::") {
            words.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                words.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    words
}

/// The length of the string or character literal that the text begins with.
fn literal_length(text: &str) -> Option<usize> {
    let prefix = ["br", "b", "c", "r", ""].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| {
            rest.starts_with(['"', '\'']) || (prefix.ends_with('r') && rest.starts_with('#'))
        })
    })?;
    let body = &text[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        if !body[hashes..].starts_with('"') {
            return None; // A raw identifier.
        }
        let end = format!("\"{}", "#".repeat(hashes));
        let inside = &body[hashes + 1..];
        return Some(prefix.len() + hashes + 1 + inside.find(&end)? + end.len());
    }
    let quote = body.chars().next()?;
    let mut escaped = false;
    for (index, character) in body.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return Some(prefix.len() + index + 1),
            // A lifetime, not a character.
            _ if quote == '\'' && body.chars().nth(1) != Some('\\') && index > 1 => return None,
            _ => {}
        }
    }
    None
}

/// The words without the modules that are `#[cfg(test)]`.
fn without_tests(words: Vec<String>) -> Vec<String> {
    const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let rest = &words[at..];
        if rest.len() > CFG_TEST.len()
            && rest
                .iter()
                .zip(CFG_TEST)
                .all(|(word, expected)| word == expected)
        {
            at += item_length(rest);
        } else {
            kept.push(words[at].clone());
            at += 1;
        }
    }
    kept
}

/// The words of the item at the start, to its `;` or the end of its braces.
fn item_length(words: &[String]) -> usize {
    let mut depth = 0;
    for (index, word) in words.iter().enumerate() {
        match word.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" if depth == 1 => return index + 1,
            "}" | ")" | "]" => depth -= 1,
            ";" if depth == 0 => return index + 1,
            _ => {}
        }
    }
    words.len()
}

/// Every `a::b::c` in the words; a group (`a::{b, c::d}`) as the paths it stands for.
fn paths(words: &[String]) -> Vec<String> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let starts =
            words.get(at + 1).is_some_and(|next| next == "::") && is_identifier(&words[at]);
        match starts {
            true => at += path_tree(&words[at..], "", &mut paths),
            false => at += 1,
        }
    }
    paths
}

/// Reads one path or group, `prefix` before it, and returns how many words it took.
fn path_tree(words: &[String], prefix: &str, paths: &mut Vec<String>) -> usize {
    let mut path = prefix.to_owned();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        match word.as_str() {
            "{" if path.ends_with("::") => {
                at += 1;
                while words.get(at).is_some_and(|word| word != "}") {
                    at += path_tree(&words[at..], &path, paths).max(1);
                }
                return at + 1;
            }
            "::" => path.push_str("::"),
            _ if is_identifier(word) && (path == prefix || path.ends_with("::")) => {
                path.push_str(word)
            }
            _ => break,
        }
        at += 1;
    }
    if path != prefix {
        paths.push(path);
    }
    at
}

fn is_identifier(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Whether `path` is `outer` or something in it.
fn is_within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The targets of `[text](target)` that are files here, without their `#anchor`.
fn relative_links(text: &str) -> Vec<String> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let files = targets.filter(|target| !target.contains("://") && !target.starts_with(['#', '<']));
    let without_anchor =
        files.map(|target| target.split('#').next().unwrap_or_default().to_owned());
    without_anchor
        .filter(|target| !target.starts_with("mailto:"))
        .collect()
}

#[test]
fn the_scan_sees_what_it_should() {
    let text = r####"
        use std::{time::{Duration, Instant}, fs}; // std::env is prose
        /* tokio */ const A: &str = "mio"; const B: &str = r#"std::thread "mio" "#;
        fn f<'a>(x: &'a str) -> char { crate::net::start(); 'x'; '\''; b'"'; let c = '"'; crate::sip::Method }
        #[cfg(test)] mod tests { use std::env; fn g() { tokio::run(); } }
        #[cfg(test)] fn h(x: [u8; 3]) { std::process::exit(0) }
        struct After;
    "####;
    let words = without_tests(words(text));
    let paths = paths(&words);
    for expected in [
        "std::time::Duration",
        "std::time::Instant",
        "std::fs",
        "crate::net::start",
        "crate::sip::Method",
    ] {
        assert!(
            paths.iter().any(|path| path == expected),
            "{expected} in {paths:?}"
        );
    }
    assert_eq!(paths.len(), 5, "{paths:?}");
    assert!(words.iter().any(|word| word == "After"), "{words:?}");
    for hidden in ["tokio", "mio", "env", "process"] {
        assert!(
            !words.iter().any(|word| word == hidden),
            "{hidden} in {words:?}"
        );
    }
    assert!(is_within("std::fs::read", "std::fs") && !is_within("std::fsx", "std::fs"));
    assert_eq!(
        relative_links("[a](b.md#c) [d](https://e) [f](#g) [h](i/j)"),
        ["b.md", "i/j"]
    );
}
