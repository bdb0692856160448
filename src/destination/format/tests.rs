//! Every format against other programs' parsers, hostile values and hostile files.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::{FormatError, Values};
use crate::destination::options::Format;

type Pairs = Vec<(String, Zeroizing<String>)>;

fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter().map(|(name, value)| ((*name).to_owned(), Zeroizing::new((*value).to_owned()))).collect()
}

fn ours() -> Pairs {
    pairs(&[("token_id", "ci@pve!deploy"), ("secret", "714ffbfd")])
}

fn at(path: &str) -> Vec<String> {
    path.split('.').filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

fn json(path: &str) -> Format {
    Format::Json { at: at(path) }
}

fn yaml(path: &str) -> Format {
    Format::Yaml { at: at(path) }
}

fn toml(path: &str) -> Format {
    Format::Toml { at: at(path) }
}

fn env() -> Format {
    Format::Env { prefix: String::new() }
}

fn tfvars() -> Format {
    Format::Tfvars { prefix: String::new() }
}

/// Sets our two keys in `old` and compares the whole text.
fn check(format: &Format, old: &str, new: &str) {
    let done = format.set(old, &ours()).map(|text| text.to_string());
    assert_eq!(done.as_deref(), Ok(new), "{format:?} of {old:?}");
    assert_eq!(format.set(new, &ours()).map(|text| text.to_string()).as_deref(), Ok(new), "twice is as once");
}

/// `old` is refused, with words that tell why and hold none of the content.
fn refuse(format: &Format, old: &str, because: &str) {
    match format.set(old, &ours()) {
        Err(FormatError::Content(text)) => {
            assert!(text.contains(because), "{text:?} should speak of {because:?}");
            assert!(!text.contains("hunter2"), "{text:?} holds content");
        }
        other => panic!("{format:?} should refuse {old:?}, not {other:?}"),
    }
}

fn python(program: &str, input: &str) -> serde_json::Value {
    let mut child = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is part of every Debian");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "python refuses {input:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn python_json(text: &str) -> serde_json::Value {
    python("import json,sys; print(json.dumps(json.loads(sys.stdin.buffer.read())))", text)
}

fn python_toml(text: &str) -> serde_json::Value {
    python("import json,sys,tomllib; print(json.dumps(tomllib.load(sys.stdin.buffer), default=str))", text)
}

/// The variables a shell has after reading `text`.
fn bash(text: &str) -> BTreeMap<String, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let output = Command::new("bash")
        .args(["-c", "set -a; . \"$0\"; env -0"])
        .arg(file.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "bash refuses {text:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut all: BTreeMap<String, String> =
        text.split('\0').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
    all.remove("_");
    all.remove("SHLVL");
    all.remove("PWD");
    all
}

/// What systemd makes of an `EnvironmentFile=` (the state machine of its env-file.c, as far as our lines need it).
fn systemd(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(|c| " \t\r\n".contains(*c)).is_some() {}
        match rest.peek() {
            None => return found,
            Some('#' | ';') => {
                let mut last = ' ';
                while let Some(c) = rest.next_if(|c| *c != '\n' || last == '\\') {
                    last = if last == '\\' { ' ' } else { c };
                }
                continue;
            }
            Some(_) => {}
        }
        let mut key = String::new();
        while let Some(c) = rest.next_if(|c| !"=\n".contains(*c)) {
            key.push(c);
        }
        if rest.next() != Some('=') {
            continue;
        }
        while rest.next_if(|c| " \t".contains(*c)).is_some() {}
        let mut value = String::new();
        let mut is_first = true;
        while let Some(c) = rest.next_if(|c| !"\r\n".contains(*c)) {
            match c {
                '\'' | '"' if is_first => {
                    while let Some(inner) = rest.next_if(|inner| *inner != c) {
                        match inner {
                            '\\' if c == '"' => value.extend(rest.next()),
                            inner => value.push(inner),
                        }
                    }
                    rest.next();
                }
                '\\' => value.extend(rest.next()),
                c => value.push(c),
            }
            is_first = false;
        }
        let value = if text.contains('\'') || text.contains('"') { value } else { value.trim_end().to_owned() };
        found.insert(key.trim_end().to_owned(), value);
    }
}

#[test]
fn tfvars_are_set_in_place_or_added_as_one_aligned_group() {
    check(&tfvars(), "", "token_id = \"ci@pve!deploy\"\nsecret   = \"714ffbfd\"\n");
    check(
        &tfvars(),
        "# keep\nregion = \"eu\" # this too\n\nsecret = \"old\" // and this\nn = 1.10",
        "# keep\nregion = \"eu\" # this too\n\nsecret = \"714ffbfd\" // and this\nn = 1.10\n\ntoken_id = \"ci@pve!deploy\"\n",
    );
    check(
        &tfvars(),
        "secret = <<EOT\nold\nEOT\nm = {\n  token_id = 1\n}\r\ntoken_id=var.x\n",
        "secret = \"714ffbfd\"\nm = {\n  token_id = 1\n}\r\ntoken_id=\"ci@pve!deploy\"\n",
    );
    refuse(&tfvars(), "secret = \"hunter2\"\nsecret = 1\n", "line 2");
    refuse(&tfvars(), "a = \"hunter2", "not valid HCL at line 1");
    refuse(&tfvars(), "a = b = hunter2", "line 1");
    refuse(&tfvars(), &format!("a = {}1{}", "[".repeat(50_000), "]".repeat(50_000)), "not valid HCL");
}

#[test]
fn env_lines_are_set_where_they_are() {
    check(&env(), "", "token_id=ci@pve!deploy\nsecret=714ffbfd\n");
    check(
        &env(),
        "# keep\nexport A=\"x y\" # this\n  export secret='old value' # and this\nB=1",
        "# keep\nexport A=\"x y\" # this\n# and this\n  export secret=714ffbfd\nB=1\ntoken_id=ci@pve!deploy\n",
    );
    check(
        &env(),
        "secret=1\r\nA='two\nlines'\r\nsecret=\"2\"\nXsecret=3\nuse=$secret\nread=1",
        "secret=714ffbfd\nA='two\nlines'\r\nsecret=714ffbfd\nXsecret=3\nuse=$secret\nread=1\ntoken_id=ci@pve!deploy\n",
    );
    check(&env(), "token_id=\nsecret=", "token_id=ci@pve!deploy\nsecret=714ffbfd\n");
}

#[test]
fn r3_of_several_env_lines_the_last_counts_as_for_every_reader() {
    let text = "secret=first\nsecret='second'\nexport secret=last # not this\nXsecret=x\n";
    let found = env().get(text, &["secret"]).unwrap();
    assert_eq!(found["secret"].as_str(), "last");
    assert_eq!(bash(text)["secret"], "last");
}

#[test]
fn env_files_in_which_a_reader_could_prefer_another_value_are_refused() {
    for (old, because) in [
        ("A='hunter2", "a quote is not closed, in what begins at line 1"),
        ("A=1\nB=\"hunter2\n\n", "a quote is not closed, in what begins at line 2"),
        ("A=hunter2\\", "ends in a backslash"),
        ("# x \\\nsecret=hunter2\n", "comment ends in a backslash"),
        ("A=1 secret=hunter2\n", "line 1 sets `secret`"),
        ("A=1; secret=hunter2\n", "line 1 sets `secret`"),
        ("secret = hunter2\n", "line 1 sets `secret`"),
        ("secret+=hunter2\n", "line 1 sets `secret`"),
        ("secret=(hunter2)\n", "line 1 sets `secret`"),
        ("secret=x;hunter2\n", "line 1 sets `secret`"),
        ("A='\nsecret=hunter2\n'\n", "line 1 sets `secret`"),
        ("unset secret\n", "line 1 sets `secret`"),
        ("declare -x secret\n", "line 1 sets `secret`"),
        ("echo ${secret:=hunter2}\n", "line 1 sets `secret`"),
        ("\u{feff}secret=hunter2\n", "line 1 sets `secret`"),
        ("A=1\0\n", "NUL"),
    ] {
        refuse(&env(), old, because);
    }
}

#[test]
fn json_keeps_every_other_byte() {
    check(&json(""), " \n", "{\n  \"token_id\": \"ci@pve!deploy\",\n  \"secret\": \"714ffbfd\"\n}\n");
    check(&json(""), "{}", "{\n  \"token_id\": \"ci@pve!deploy\",\n  \"secret\": \"714ffbfd\"\n}");
    check(
        &json(""),
        "{\"secret\":[1,{\"secret\":2}], \"n\": 1.10, \"big\":123456789012345678901234567890}",
        "{\"secret\":\"714ffbfd\", \"n\": 1.10, \"big\":123456789012345678901234567890, \"token_id\": \"ci@pve!deploy\"}",
    );
    check(
        &json("prod.lab"),
        "{\n\t\"a\": \"\\\"}\",\n\t\"prod\": {\n\t\t\"x\": null\n\t}\n}\n",
        "{\n\t\"a\": \"\\\"}\",\n\t\"prod\": {\n\t\t\"x\": null,\n\t\t\"lab\": {\n\t\t  \"token_id\": \"ci@pve!deploy\",\n\t\t  \"secret\": \"714ffbfd\"\n\t\t}\n\t}\n}\n",
    );
    check(
        &json("a.b"),
        "{}",
        "{\n  \"a\": {\n    \"b\": {\n      \"token_id\": \"ci@pve!deploy\",\n      \"secret\": \"714ffbfd\"\n    }\n  }\n}",
    );
    refuse(&json(""), "{\"secret\": 1, \"\\u0073ecret\": \"hunter2\"}", "twice");
    refuse(&json("a"), "{\"a\": {}, \"a\": {}}", "twice");
    refuse(&json("a.b"), "{\"a\": \"hunter2\"}", "not an object");
    refuse(&json(""), "[\"hunter2\"]", "root");
    refuse(&json(""), "{\"a\": \"hunter2", "not valid JSON at line 1");
    refuse(&json(""), "\u{feff}{}", "not valid JSON");
    refuse(&json(""), &"{\"a\":".repeat(100_000), "not valid JSON");
    refuse(&json(""), &format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)), "not valid JSON");
}

#[test]
fn yaml_keeps_every_other_byte() {
    check(&yaml(""), "", "token_id: \"ci@pve!deploy\"\nsecret: \"714ffbfd\"\n");
    check(
        &yaml(""),
        "---\n# keep\nenabled: yes # on\nmode: 0644\nsecret: 'old # x'  # stays\nlist:\n- a: &x 1\n- *x\ntail: |+\n  text\n",
        "---\n# keep\nenabled: yes # on\nmode: 0644\nsecret: \"714ffbfd\"  # stays\nlist:\n- a: &x 1\n- *x\ntail: |+\n  text\ntoken_id: \"ci@pve!deploy\"\n",
    );
    check(
        &yaml("prod.lab"),
        "a: 1\nprod:\n    # of the lab\n    lab:\n        secret: |\n            old\n            lines\n        # kept\n        other: 2\n\nb: !vault x\n",
        "a: 1\nprod:\n    # of the lab\n    lab:\n        secret: \"714ffbfd\"\n        # kept\n        other: 2\n        token_id: \"ci@pve!deploy\"\n\nb: !vault x\n",
    );
    check(
        &yaml("prod.lab"),
        "prod:\nb: 1",
        "prod:\n  lab:\n    token_id: \"ci@pve!deploy\"\n    secret: \"714ffbfd\"\nb: 1",
    );
    check(&yaml("on"), "a: 1\n...\n", "a: 1\n\"on\":\n  token_id: \"ci@pve!deploy\"\n  secret: \"714ffbfd\"\n...\n");
    check(
        &yaml(""),
        "{\"a\": 0644.5e}\n".replace("0644.5e", "1.10").as_str(),
        "{\"a\": 1.10, \"token_id\": \"ci@pve!deploy\", \"secret\": \"714ffbfd\"}\n",
    );
    // A comment that stands deeper belongs to what is before it.
    check(
        &yaml(""),
        "a:\n  b: 1\n  # c: 2\n\n  # d: 3\n# end\n",
        "a:\n  b: 1\n  # c: 2\n\n  # d: 3\ntoken_id: \"ci@pve!deploy\"\nsecret: \"714ffbfd\"\n# end\n",
    );
    check(
        &yaml(""),
        "token_id: 'x'\n  # odd\nsecret: \"y\" # why\n  # odd too",
        "token_id: \"ci@pve!deploy\"\n  # odd\nsecret: \"714ffbfd\" # why\n  # odd too",
    );
    check(
        &yaml(""),
        "token_id: 'it''s' # who\nsecret: 'x\n  ''y'\nz: 1\n",
        "token_id: \"ci@pve!deploy\" # who\nsecret: \"714ffbfd\"\nz: 1\n",
    );
    check(
        &yaml(""),
        "token_id: x\t# who\nsecret: y # what\n",
        "token_id: \"ci@pve!deploy\"\t# who\nsecret: \"714ffbfd\" # what\n",
    );
    // A comment within a value would be lost with it.
    for file in ["secret: # why\n  hunter2\n", "secret:\n  # why\n  hunter2\n", "secret: | # why\n  hunter2\n"] {
        refuse(&yaml(""), file, "`secret` has several lines with a comment among them");
    }
    refuse(&yaml(""), "{a: hunter2}\n", "block style");
    refuse(&yaml("x"), "x: &a\n  b: hunter2\ny: *a\n", "block style");
    refuse(&yaml("a.b"), "a: hunter2\n", "not a mapping");
    refuse(&yaml(""), "- hunter2\n", "root");
    refuse(&yaml(""), "a: 'hunter2\n", "not one valid YAML document");
    refuse(&yaml(""), "a: 1\n---\nb: hunter2\n", "not one valid");
    refuse(&yaml(""), "secret: 1\nsecret: hunter2\n", "not one valid");
    refuse(&yaml(""), "a: *hunter2\n", "not one valid");
    refuse(&yaml(""), &format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000)), "deeply");
    refuse(&yaml(""), &format!("{}x", "- ".repeat(100_000)), "deeply");
    let laughs = (0..30).fold("a0: &a0 [x]\n".to_owned(), |text, n| {
        let next = n + 1;
        format!("{text}a{next}: &a{next} [*a{n},*a{n},*a{n},*a{n},*a{n},*a{n},*a{n},*a{n},*a{n}]\n")
    });
    refuse(&yaml(""), &laughs, "not one valid");
}

#[test]
fn toml_keeps_order_and_comments() {
    check(&toml(""), "", "token_id = \"ci@pve!deploy\"\nsecret = \"714ffbfd\"\n");
    check(
        &toml("prod.lab"),
        "# keep\na = 1.10 # this\n[prod]\n'lab' = { secret = 1, b = 2 } # and this\n[[x]]\n",
        "# keep\na = 1.10 # this\n[prod]\n'lab' = { secret = \"714ffbfd\", b = 2 , token_id = \"ci@pve!deploy\" } # and this\n[[x]]\n",
    );
    check(
        &toml("prod.lab"),
        "[prod]\nx = 0x10\n",
        "[prod]\nx = 0x10\n\n[prod.lab]\ntoken_id = \"ci@pve!deploy\"\nsecret = \"714ffbfd\"\n",
    );
    check(
        &toml(""),
        "token_id = '1'\r\nsecret = '''x\\r\\ny'''\r\n[a]\r\n",
        "token_id = \"ci@pve!deploy\"\r\nsecret = \"714ffbfd\"\r\n[a]\r\n",
    );
    refuse(&toml(""), "a = 1\r\nb = 'hunter2'\n", "writing");
    refuse(&toml(""), "\u{feff}a = 'hunter2'\n", "writing");
    refuse(&toml("x"), "[[x]]\ny = 'hunter2'\n", "not a table");
    refuse(&toml("a"), "a = 'hunter2'\n", "not a table");
    refuse(&toml(""), "[secret]\nx = 'hunter2'\n", "is a table");
    refuse(&toml(""), "a = 'hunter2\n", "not valid TOML at line 1");
    refuse(&toml(""), "a = 1\na = 'hunter2'\n", "not valid TOML at line 2");
    refuse(&toml(""), &format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000)), "not valid TOML");
    refuse(&toml(""), &"a.".repeat(100_000), "not valid TOML");
}

#[test]
fn env_values_that_readers_disagree_on_are_refused() {
    for value in ["it's", "a\\b", "$HOME", "`id`", "two\nlines", "bell\u{7}", "nul\0"] {
        let refused = env().set("", &pairs(&[("secret", value)]));
        assert!(matches!(refused, Err(FormatError::Value(_))), "{value:?}: {refused:?}");
    }
    for value in ["", "a b", "~", "#x", "\"", "ü", "(a)", "{a,b}", "*", ";", "a&b", " lead and trail ", "=", "!x"] {
        let text = env().set("A=1\n", &pairs(&[("secret", value)])).unwrap();
        assert_eq!(bash(&text)["secret"], value);
        assert_eq!(systemd(&text)["secret"], value);
    }
}

#[test]
fn the_default_env_values_are_bare_so_that_docker_reads_them_too() {
    let values = pairs(&[("T", "ci@pve!deploy=714ffbfd-7f27-4a0b-8d43-5c2f4e0c6a11"), ("U", "https://[fe80::1]:8006")]);
    let text = env().set("", &values).unwrap();
    assert_eq!(*text, "T=ci@pve!deploy=714ffbfd-7f27-4a0b-8d43-5c2f4e0c6a11\nU='https://[fe80::1]:8006'\n");
}

#[test]
fn terraform_sees_no_interpolation_in_a_value() {
    let text = tfvars().set("", &pairs(&[("a", "${x} %{if} $x $${ \\ \"\n\u{7}")])).unwrap();
    assert_eq!(*text, "a = \"$${x} %%{if} $x $$${ \\\\ \\\"\\n\\u0007\"\n");
}

#[test]
fn names_that_a_format_cannot_have_are_refused() {
    for name in ["", "1a", "a-b", "a b", "ä", "a.b", "a\n"] {
        assert!(env().check_name(name).is_err() && tfvars().check_name(name).is_err(), "{name:?}");
    }
    assert!(json("").check_name("a b-ä").is_ok() && json("").check_name("a\n").is_err());
}

/// Values as templates could make them: anything, and what quoting gets wrong first.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\"'\\\\$%{}#`\n\r\t \u{0}\u{7}\u{85}\u{2028}\u{feff}: ,-]{0,12}",
        Just("${path}%{if}$${x}%%{y}".to_owned()),
        Just("'''\"\"\"\n".to_owned()),
        Just("yes".to_owned()),
        Just("- a: b".to_owned()),
    ]
}

fn two_values() -> impl Strategy<Value = Pairs> {
    (value(), value()).prop_map(|(one, two)| pairs(&[("token_id", &one), ("secret", &two)]))
}

/// Values that an env file can hold.
fn two_mild_values() -> impl Strategy<Value = Pairs> {
    let mild = || "[ -#%&(-\\[\\]^_a-~üλ]{0,12}";
    (mild(), mild()).prop_map(|(one, two)| pairs(&[("token_id", &one), ("secret", &two)]))
}

/// A file made of pieces that are valid, invalid, or valid only together.
fn file(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![
        9 => prop::collection::vec(prop::sample::select(pieces), 0..8).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
    ]
}

/// What is valid before stays so, whatever the values are.
fn takes_any_value(values: &Values) {
    for format in [tfvars(), json(""), json("a.b"), yaml(""), yaml("a.b"), toml(""), toml("a.b")] {
        found(&format, &format.set("", values).unwrap(), values);
    }
}

fn found(format: &Format, text: &str, values: &Values) {
    let names: Vec<_> = values.iter().map(|(name, _)| name.as_str()).collect();
    let found = format.get(text, &names).unwrap();
    for (name, value) in values {
        assert_eq!(found.get(name), Some(value), "{name} in {text:?}");
    }
}

/// The document without our keys, and without the tables that only we need.
fn toml_rest(text: &str) -> ::toml::Table {
    let mut all: ::toml::Table = text.parse().unwrap();
    let mut is_ours = |table: &mut ::toml::Table| {
        table.remove("secret");
        table.remove("token_id");
        table.is_empty()
    };
    is_ours(&mut all);
    if let Some(b) = all.get_mut("b").and_then(|b| b.as_table_mut()) {
        if b.get_mut("c").and_then(|c| c.as_table_mut()).is_some_and(&mut is_ours) {
            b.remove("c");
        }
        if b.is_empty() {
            all.remove("b");
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn tfvars_read_back(values in two_values(), old in file(&["a = 1\n", "secret = \"x\"\n", "# c\n", "b {\n", "}\n", "token_id = [\n", "]\n", "x = <<E\nsecret = 1\nE\n", "/*", "*/", "\r\n", "\u{feff}", "\""])) {
        if let Ok(new) = tfvars().set(&old, &values) {
            found(&tfvars(), &new, &values);
            let rest = |text: &str| {
                let body = hcl_edit::parser::parse_body(text).unwrap();
                body.into_iter().filter(|part| !part.as_attribute().is_some_and(|a| a.has_key("secret") || a.has_key("token_id"))).map(|part| hcl_edit::structure::Body::from_iter([part]).to_string().trim().to_owned()).collect::<Vec<_>>()
            };
            prop_assert_eq!(rest(&old), rest(&new));
        }
    }

    #[test]
    fn json_read_back(values in two_values(), old in file(&["{", "}", "\"a\": 1", ",", "\"secret\": \"x\"", "\"b\": {", "\"token_id\": [1]", "\n  ", " ", "\"\\\"\": 1e3"])) {
        if let Ok(new) = json("").set(&old, &values) {
            found(&json(""), &new, &values);
            let rest = |text: &str| {
                let text = if text.trim().is_empty() { "{}" } else { text };
                let mut all: BTreeMap<String, serde_json::Value> = serde_json::from_str(text).unwrap();
                all.retain(|key, _| key != "secret" && key != "token_id");
                all
            };
            prop_assert_eq!(rest(&old), rest(&new));
        }
    }

    #[test]
    fn yaml_read_back(values in two_values(), old in file(&["a: 1\n", "secret: x # c\n", "token_id: >-\n  a\n\n  b\n", "# c\n", "- x\n", "b:\n", "  c: 2\n", "  secret: y\n", "  ", "\n", "---\n", "...\n", "'", "d: |\n", "\r\n", "\t", "\"secret\" : \"a\n  b\"\n", "? z\n", ": y\n", "e: [1,\n", "]\n"])) {
        if let Ok(new) = yaml("").set(&old, &values) {
            found(&yaml(""), &new, &values);
        }
        if let Ok(new) = yaml("b.c").set(&old, &values) {
            found(&yaml("b.c"), &new, &values);
        }
    }

    #[test]
    fn documents_take_any_value(values in two_values()) {
        takes_any_value(&values);
    }

    #[test]
    fn yaml_strings_are_json_strings(text in value()) {
        let values = pairs(&[("token_id", &text), ("secret", "x")]);
        let new = yaml("").set("", &values).unwrap();
        let line = new.lines().next().and_then(|line| line.strip_prefix("token_id: ")).unwrap();
        prop_assert_eq!(serde_json::from_str::<String>(line).unwrap(), text);
    }

    #[test]
    fn toml_read_back(values in two_values(), old in file(&["a = 1\n", "secret = \"x\" # c\n", "token_id = 2\n", "[b]\n", "[b.c]\n", "# c\n", "d = { e = 1 }\n", "[[f]]\n", "'", "\r\n", "\u{feff}", "b.c.x = 1\n"])) {
        for format in [toml(""), toml("b.c")] {
            if let Ok(new) = format.set(&old, &values) {
                found(&format, &new, &values);
                prop_assert_eq!(toml_rest(&old), toml_rest(&new));
            }
        }
    }

    #[test]
    fn env_read_back(values in two_values(), old in file(&["A=1\n", "secret=x\n", "export secret='a b' # c\n", "# c\n", "B='\n", "'\n", "C=\"\\\"\"\n", "\\", "\r\n", "\n", "token_id=", "\u{feff}", " ", "unset secret\n", "D=$secret\n"])) {
        if let Ok(new) = env().set(&old, &values) {
            found(&env(), &new, &values);
        }
    }
}

proptest! {
    // Each case starts a few programs.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn a_shell_and_systemd_read_env_files_alike(values in two_mild_values(), old in prop::collection::vec(prop::sample::select(vec!["A=1\n", "secret=x\n", "export secret='a b' # c\n", "# c\n", "B='two\nlines'\n", "C=\"\\\"\"\n", "\n", "secret=\n", "D=$secret\n"]), 0..6)) {
        let old = old.concat();
        let new = env().set(&old, &values);
        prop_assert!(new.is_ok(), "{:?}", new);
        if let Ok(new) = new {
            let (mut before, mut after) = (bash(&old), bash(&new));
            for (name, value) in &values {
                prop_assert_eq!(after.get(name), Some(&**value));
                // systemd does not know `export`.
                if !old.contains("export") {
                    let found = systemd(&new);
                    prop_assert_eq!(found.get(name), Some(&**value), "{}", &*new);
                }
                before.remove(name);
                after.remove(name);
            }
            before.remove("D");
            after.remove("D");
            prop_assert_eq!(before, after);
        }
    }
}

proptest! {
    // Each case starts two programs, so it tries many values.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4) })]

    #[test]
    fn python_reads_json_and_toml(list in prop::collection::vec(value(), 100)) {
        let values: Pairs = list.iter().enumerate().map(|(n, value)| (format!("k{n}"), Zeroizing::new(value.clone()))).collect();
        let json_text = json("a.b").set("{\"a\": {\"x\": [1]}}", &values).unwrap();
        let toml_text = toml("a.b").set("[a]\nx = [1]\n", &values).unwrap();
        for read in [python_json(&json_text), python_toml(&toml_text)] {
            prop_assert_eq!(&read["a"]["x"], &serde_json::json!([1]));
            for (name, value) in &values {
                prop_assert_eq!(read["a"]["b"][name].as_str(), Some(value.as_str()));
            }
        }
    }
}
