//! The whole of the config, from text to settings or problems.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Problems, Settings, load, parse};
use crate::rotation::job::{Drift, Retire, Strategy};
use crate::rotation::time::Span;

mod notify;
mod own_login;
mod split;
mod vault;

const MINIMAL: &str = include_str!("../../config/minimal.toml");
const UUID: &str = "714ffbfd-7f27-4cd5-a2a9-a3b1d8a7d9a0";

fn read(text: &str) -> Result<Settings, Problems> {
    parse(vec![("rotated.toml".into(), text.to_owned())], "ops1")
}

/// What is printed for a config that is the minimal one with more behind it.
fn printed(added: &str) -> String {
    read(&format!("{MINIMAL}{added}")).unwrap_err().to_string()
}

fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn the_minimal_config_gets_every_default() {
    let settings = read(MINIMAL).unwrap();
    assert_eq!(settings.daemon.instance.as_str(), "ops1");
    assert_eq!(settings.daemon.late_max, Span::from_seconds(600));
    assert_eq!(settings.daemon.inventory, Span::from_seconds(900));
    assert_eq!(settings.daemon.metrics, Some("127.0.0.1:9917".parse().unwrap()));
    let remote = settings.remotes.values().next().unwrap();
    assert_eq!((remote.max_parallel, remote.consumer_url.as_str()), (8, "https://10.0.0.11:8006"));
    let job = &settings.jobs.values().next().unwrap().job;
    assert_eq!((job.grace, job.retire_after), (Span::from_days(1), Span::from_days(7)));
    assert_eq!((job.retire, job.first_retire, job.drift), (Retire::Auto, Retire::Ask, Drift::Copy));
    assert_eq!((job.strategy, &job.window, &job.retire_window), (Strategy::Replace, &None, &None));
    assert_eq!(job.destinations.keys().map(ToString::to_string).collect::<Vec<_>>(), ["file-1"]);
}

#[test]
fn metrics_can_be_switched_off() {
    let metrics = |text: &str| read(&format!("[daemon]\nmetrics = \"{text}\"\n{MINIMAL}")).map(|s| s.daemon.metrics);
    assert_eq!(metrics("off").unwrap(), None);
    assert_eq!(metrics("[::1]:0").unwrap(), Some("[::1]:0".parse().unwrap()));
    assert!(metrics("Off").is_err() && metrics("9917").is_err() && metrics("").is_err());
}

#[test]
fn the_annotated_config_names_every_key_and_is_accepted() {
    let text = include_str!("../../config/rotated.toml");
    let settings = read(text).unwrap();
    let job = &settings.jobs.values().next_back().unwrap().job;
    assert_eq!(
        job.window.as_ref().map(ToString::to_string),
        Some("mon,tue,wed,thu,fri 02:00-05:00 Europe/Vienna".into())
    );
    assert!(job.retire_window.is_some() && job.retire_window != job.window);
    assert_eq!(job.destinations.keys().map(ToString::to_string).collect::<Vec<_>>(), ["file-1", "push", "vault-1"]);
    // Every key that the reader knows stands in it, if only in a comment.
    let unknown = printed(
        "[daemon]\nx=1\n[alerts]\nx=1\n[notify.x]\nx=1\n[job.x]\nx=1\n[[job.x.destination]]\ntype='file'\nx=1\n[[job.x.destination]]\ntype='vault'\nx=1\n\
         [remote.x]\nx=1\n[vault.x]\nx=1\n[vault.y.auth]\nx=1\n",
    );
    let known = unknown.lines().filter_map(|line| line.split_once(" knows ")).flat_map(|(_, keys)| keys.split(", "));
    let missing: Vec<_> = known.filter(|key| !text.contains(key)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn good_files_are_accepted() {
    for (path, text) in files("tests/data/config/good").into_iter().chain(files("config")) {
        if let Err(problems) = parse(vec![(path, text)], "ops1") {
            panic!("{problems}");
        }
    }
}

/// Each line of a bad file says behind `#!` what is wrong with it, and nothing else may be.
#[test]
fn bad_files_are_refused_for_what_is_wrong_with_them_and_nothing_else() {
    let mut surprises = Vec::new();
    for (path, text) in files("tests/data/config/bad") {
        let name = PathBuf::from(path.file_name().unwrap());
        let problems = parse(vec![(name, text.clone())], "ops1").unwrap_err();
        assert!(!problems.to_string().contains(UUID) && !problems.to_string().contains("hunter2"), "{problems}");
        if text.contains("#!") {
            surprises.extend(unmet(&text, problems.all()));
        }
    }
    assert_eq!(surprises, Vec::<String>::new());
}

/// What was expected and did not come, and what came and was not expected.
fn unmet(text: &str, problems: &[super::Problem]) -> Vec<String> {
    let mut left: Vec<_> =
        problems.iter().map(|problem| (problem.place.as_ref().map(|place| place.line), problem)).collect();
    let mut unmet = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for expected in line.split("#!").skip(1).map(str::trim) {
            let fits = |(line, problem): &(Option<usize>, &super::Problem)| {
                *line == Some(index + 1) && problem.what.contains(expected) && !problem.advice.is_empty()
            };
            match left.iter().position(fits) {
                Some(found) => drop(left.remove(found)),
                None => unmet.push(format!("{}: missing: {expected}", index + 1)),
            }
        }
    }
    unmet.extend(left.iter().map(|(_, problem)| format!("unexpected: {problem:?}")));
    unmet
}

#[test]
fn a_problem_shows_the_line_the_key_and_what_to_write() {
    insta::assert_snapshot!(printed("[job.b]\nremote = \"lba\"\ntoken = \"ci@pve!x1\"\nmax_age = \"1d\"\ngrcae = \"24h\"\ndestination = [{ type = \"command\", write = [\"push\"] }]\n"), @r#"
    error: there is no remote `lba`
      --> rotated.toml:19:10
       |
    19 | remote = "lba"
       |          ^^^^^ job.b.remote
       |
       = help: did you mean `lab`?

    error: `grcae` is not a key of a job
      --> rotated.toml:22:1
       |
    22 | grcae = "********"
       | ^^^^^ job.b.grcae
       |
       = help: did you mean `grace`?

    error: `push` is not an absolute path
      --> rotated.toml:23:45
       |
    23 | destination = [{ type = "command", write = ["push"] }]
       |                                             ^^^^^^ job.b.destination[1].write
       |
       = help: write the program's absolute path; there is no shell and no search path

    3 problems
    "#);
}

#[test]
fn a_literal_secret_is_named_but_never_shown() {
    let text = MINIMAL.replace("file:/etc/rotated/lab.token", &format!("root@pam!x={UUID}"));
    let problems = read(&text).unwrap_err();
    insta::assert_snapshot!(problems, @r#"
    error: `api_token`: a secret is always a reference: file:/path, credential:NAME, env:NAME, vault:NAME:mount/path#field
     --> rotated.toml:7:25
      |
    7 | auth    = { api_token = "********" }
      |                         ^^^^^^^^^^ remote.lab.auth.api_token
      |
      = help: write `auth = { api_token = "credential:NAME" }` (or `file:/path`, `env:NAME`, `vault:NAME:mount/path#field`) and put user@realm!name=UUID there

    1 problem
    "#);
    assert!(!format!("{problems:?} {}", problems.render(super::Colour::Always)).contains("714ffbfd"));
}

#[test]
fn secrets_in_any_wrong_place_are_never_shown() {
    for line in [
        format!("[remote.x]\nauth = \"root@pam!x={UUID}\"\n"),
        format!("[remote.x.auth]\napi_token = '''root@pam!x={UUID}'''\n"),
        format!("[remote.x]\nauth.password = \"{UUID}\"\n"),
        format!("[remote.x]\nauth = {{ api_token = root@pam!x={UUID} }}\n"),
        format!("[remote.x]\nauth = {{ api_token = \"root@pam!x={UUID}\n"),
        format!("[remote.x]\nsecret = [\"{UUID}\"]\n"),
        format!("[remote.x]\nurls = [\"https://x:{UUID}@pve:8006\"]\n"),
        format!("[job.x]\ntoken = \"root@pam!x={UUID}\"\n"),
        format!("[job.x]\nremote = \"{UUID}\"\nstrategy = \"{UUID}\"\nschedule = \"{UUID}\"\ngrace = \"{UUID}\"\n"),
        format!("[job.x]\ndestination = [{{ type = \"{UUID}\", path = \"{UUID}\", {UUID} = 1 }}]\n"),
        format!(
            "[job.x]\n[[job.x.destination]]\ntype = \"file\"\npath = \"/{{{UUID}}}\"\nformat = \"template\"\ntemplate = \"{{{{ {UUID} }}\"\n"
        ),
        format!("[vault.x]\nauth = {{ token = \"{UUID}\", role_id = \"{UUID}\", role = [\"{UUID}\"] }}\n"),
        format!("[vault.x.auth]\ntoken = \"file:/x\"\nmount = \"{UUID}\"\nrole = \"{UUID}\"\n"),
        format!("[vault.x]\naddress = \"https://{UUID}@vault\"\nnamespace = \"{UUID} \"\ntoken = \"{UUID}\"\n"),
        format!("[job.x]\ndestination = [{{ type = \"vault\", vault = \"{UUID}\", path = \"{UUID}\" }}]\n"),
        format!("[job.\"{UUID}\"]\nx = 1\n"),
        format!("[{UUID}]\n{UUID}\n"),
        format!("\"\"\"{UUID}"),
    ] {
        for hidden in [UUID.to_owned(), UUID.to_uppercase(), UUID.replace('-', "")] {
            let line = line.replace(UUID, &hidden);
            let problems = read(&format!("{MINIMAL}{line}")).unwrap_err();
            assert!(!problems.to_string().to_lowercase().contains(&hidden[9..20].to_lowercase()), "{line}\n{problems}");
            assert!(!format!("{:?}", problems.all()).to_lowercase().contains(&hidden[9..20].to_lowercase()), "{line}");
        }
    }
}

#[test]
fn syntax_errors_are_problems_like_any_other() {
    insta::assert_snapshot!(printed("[job.b\nremote = lab\n"), @r#"
    error: this is not TOML: unclosed table, expected `]`
      --> rotated.toml:18:7
       |
    18 | [job.b
       |       ^
       |
       = help: texts stand in quotes, `#` begins a comment, tables are `[name]`

    1 problem
    "#);
}

#[test]
fn problems_of_several_files_come_in_their_order() {
    let main = MINIMAL.replace("90d", "90");
    let texts = [
        ("rotated.toml", main.as_str()),
        ("conf.d/10.toml", "[daemon]\ninstance = \"x\"\n[remote.lab]\nproduct = \"pve\"\n"),
        (
            "conf.d/20.toml",
            "[remote.b]\nproduct = \"pve\"\nurls = [\"https://b\"]\nauth = { api_token = \"env:B\" }\nallow_root = true\n[job.ci]\n",
        ),
    ];
    let texts = texts.map(|(path, text)| (path.into(), text.to_owned())).to_vec();
    insta::assert_snapshot!(parse(texts, "ops1").unwrap_err(), @r#"
    error: `max_age`: it must be a whole number with one of the units s, m, h, d: `30s`, `15m`, `24h`, `90d`
      --> rotated.toml:12:11
       |
    12 | max_age = "90"
       |           ^^^^ job.ci.max_age
       |
       = help: write for example `30s`, `15m`, `24h` or `90d`

    error: `[daemon]` may stand in the main file only
     --> conf.d/10.toml:1:1
      |
    1 | [daemon]
      | ^^^^^^^^ daemon
      |
      = help: move it there

    error: there is a remote of this name already (rotated.toml:3)
     --> conf.d/10.toml:3:9
      |
    3 | [remote.lab]
      |         ^^^ remote.lab
      |
      = help: give it another name

    error: `allow_root` may stand in the main file only
     --> conf.d/20.toml:5:14
      |
    5 | allow_root = true
      |              ^^^^ remote.b.allow_root
      |
      = help: move this remote to rotated.toml, so that a file in conf.d cannot widen its own reach

    error: there is a job of this name already (rotated.toml:9)
     --> conf.d/20.toml:6:6
      |
    6 | [job.ci]
      |      ^^ job.ci
      |
      = help: give it another name

    5 problems
    "#);
}

#[test]
fn the_hosts_name_is_the_instance_unless_it_cannot_be() {
    let text = || vec![("rotated.toml".into(), MINIMAL.to_owned())];
    assert_eq!(parse(text(), "pve.example").unwrap().daemon.instance.as_str(), "pve.example");
    assert!(parse(text(), "").is_err());
    assert!(parse(text(), "a b").is_err());
}

/// A folder with a config in it that nobody else can write.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("rotated.toml", MINIMAL, 0o644);
        folder
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.path().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).unwrap();
        }
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.0.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn load(&self) -> Result<Settings, Problems> {
        load(&self.0.path().join("rotated.toml"))
    }

    fn refused(&self) -> String {
        self.load().unwrap_err().to_string()
    }
}

const JOB_B: &str = "[job.b]\nremote = \"lab\"\ntoken = \"b@pve!bb\"\nmax_age = \"1d\"\ndestination = [{ type = \"command\", write = [\"/b\"] }]\n";

#[test]
fn conf_d_is_read_in_the_order_of_its_names() {
    let folder = Folder::new();
    folder.write("conf.d/20.toml", JOB_B, 0o644);
    folder.write("conf.d/10.toml", "", 0o600);
    folder.write("conf.d/x.toml.bak", "nonsense", 0o666);
    folder.write("conf.d/.hidden.toml", "nonsense", 0o666);
    folder.mode("conf.d", 0o755);
    assert_eq!(folder.load().unwrap().jobs.len(), 2);
}

#[test]
fn files_that_others_can_write_are_refused() {
    let folder = Folder::new();
    assert!(folder.load().is_ok());
    for mode in [0o664, 0o646] {
        folder.mode("rotated.toml", mode);
        assert!(folder.refused().contains("can be written by others"), "{mode:o}");
    }
    folder.mode("rotated.toml", 0o600);
    folder.write("conf.d/b.toml", JOB_B, 0o644);
    folder.mode("conf.d", 0o777);
    assert!(folder.refused().contains("conf.d: can be written by others"));
    folder.mode("conf.d", 0o755);
    assert!(folder.load().is_ok());
    folder.mode("conf.d/b.toml", 0o666);
    assert!(folder.refused().contains("b.toml"));
}

#[test]
fn what_is_no_readable_file_is_refused_without_waiting() {
    let folder = Folder::new();
    assert!(load(&folder.0.path().join("none.toml")).unwrap_err().to_string().contains("cannot be read"));
    assert!(load(folder.0.path()).unwrap_err().to_string().contains("regular file"));
    folder.write("bytes.toml", "", 0o600);
    std::fs::write(folder.0.path().join("bytes.toml"), [0xff, 0xfe]).unwrap();
    assert!(load(&folder.0.path().join("bytes.toml")).unwrap_err().to_string().contains("UTF-8"));
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.0.path().join("pipe.toml"), rustix::fs::Mode::RUSR).unwrap();
    assert!(load(&folder.0.path().join("pipe.toml")).unwrap_err().to_string().contains("regular file"));
}

#[test]
fn a_hundred_thousand_problems_are_counted_and_not_printed() {
    let text: Vec<_> = (0..super::JOBS_MAX).map(|n| format!("[job.j{n}]\n")).collect();
    let problems = read(&format!("{MINIMAL}{}", text.concat())).unwrap_err();
    assert_eq!(problems.all().len(), 4 * super::JOBS_MAX + 1);
    assert!(problems.to_string().ends_with("400001 problems, the first 200 shown"));
}

/// Many jobs are read in a few seconds: here without optimization, so a tenth of [`super::JOBS_MAX`].
#[test]
fn many_jobs_are_read_quickly() {
    let jobs: Vec<_> = (0..super::JOBS_MAX / 10)
        .map(|n| {
            format!(
                "[job.j{n}]\nremote = \"lab\"\ntoken = \"ci@pve!t{n}\"\nschedule = \"{} {} 1 */3 *\"\nwindow = \"Mon-Fri 02:00-05:00\"\n\
                 expire = \"200d\"\ndestination = [{{ type = \"file\", path = \"/x/one.env\", format = \"env\", prefix = \"j{n}_\" }}]\n",
                n % 60,
                2 + n / 60 % 3,
            )
        })
        .collect();
    let began = std::time::Instant::now();
    let settings = read(&format!("{MINIMAL}{}", jobs.concat())).unwrap();
    assert_eq!(settings.jobs.len(), super::JOBS_MAX / 10 + 1);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}
