//! The README's table of RFCs: every row has a test that is there, and code that says which RFC it follows.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot read its files has failed"
)]

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file with one of these endings below a directory.
fn texts(directory: &Path, endings: &[&str]) -> Vec<String> {
    let mut texts = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        let entries = std::fs::read_dir(next).unwrap();
        let paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        for path in paths {
            let ending = path.extension().and_then(|ending| ending.to_str());
            if path.is_dir() {
                waiting.push(path);
            } else if ending.is_some_and(|ending| endings.contains(&ending)) {
                texts.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    texts
}

/// RFC numbers and test names of the README's rows.
fn rows() -> Vec<(Vec<String>, String)> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let lines = readme
        .lines()
        .filter(|line| line.starts_with("| RFC ") && !line.contains("what of it"));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let numbers = cells[0].trim_start_matches("RFC ").split(", ");
        let test = cells[2].trim_matches('`').to_owned();
        (numbers.map(str::to_owned).collect(), test)
    };
    lines.map(row).collect()
}

#[test]
fn every_rfc_in_the_readme_has_a_test_and_code_that_names_it() {
    let rows = rows();
    assert!(rows.len() >= 15, "the table is not there");
    let code = texts(&root().join("src"), &["rs"]);
    let mut tests = texts(&root().join("tests"), &["rs", "py"]);
    tests.extend(code.iter().cloned());
    for (numbers, test) in rows {
        let name = test.rsplit("::").next().unwrap();
        let is_there = tests.iter().any(|text| {
            text.contains(&format!("fn {name}(")) || text.contains(&format!("def {name}("))
        });
        assert!(is_there, "RFC {numbers:?}: no test {test}");
        for number in numbers {
            let mention = format!("RFC {number}");
            let is_named = code.iter().any(|text| text.contains(&mention));
            assert!(is_named, "RFC {number}: no code names it");
        }
    }
}
