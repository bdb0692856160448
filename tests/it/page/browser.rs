//! A headless Chromium, spoken to through a pipe in its `DevTools` protocol: JSON, each message ended by a zero byte.
//!
//! The page allows no script, so whoever wants to know how it is laid out must ask the browser itself.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{fs, thread};

use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;

/// No answer takes this long.
const PATIENCE: Duration = Duration::from_secs(120);
const PROGRAMS: [&str; 3] = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const MISSING: &str = "the page is tried in Chromium, and there is none: `apt-get install chromium fonts-dejavu-core` \
                       as root, or run `.ci/run`, which does it";
/// The program finds its end of the pipe at 3 and 4, where no standard stream is.
const AT_3_AND_4: &str = "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null";

/// What a person has before them.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    pub(super) name: &'static str,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) scheme: &'static str,
}

/// See the module's own words.
pub(super) struct Browser {
    child: Child,
    to: Option<ChildStdin>,
    from: mpsc::Receiver<Value>,
    asked: u64,
    told: Vec<Value>,
    folder: TempDir,
}

impl Browser {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let program = PROGRAMS.into_iter().find(|path| fs::exists(path).unwrap_or(false)).expect(MISSING);
        let errors = fs::File::create(folder.path().join("stderr")).expect("made");
        let mut command = Command::new("/bin/sh");
        command.args([
            "-c",
            AT_3_AND_4,
            "sh",
            program,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
        ]);
        command.args(["--no-first-run", "--disable-background-networking", "--disable-component-update"]);
        command.args(["--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe"]);
        command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", folder.path())
            .env("LANG", "C.UTF-8");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).spawn().expect("it starts");
        let (to, answers) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
        let (heard, from) = mpsc::channel();
        thread::spawn(move || {
            let messages = BufReader::new(answers).split(0).map_while(Result::ok);
            for message in messages {
                let message = serde_json::from_slice(&message).expect("JSON");
                if heard.send(message).is_err() {
                    return;
                }
            }
        });
        Self { child, to, from, asked: 0, told: Vec::new(), folder }
    }

    /// Opens a page and waits until it is loaded.
    pub(super) fn open(&mut self, url: &str, view: View) -> Tab<'_> {
        let target = self.ask(None, "Target.createTarget", &json!({"url": "about:blank"}));
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let session = self.ask(None, "Target.attachToTarget", &target)["sessionId"].as_str().expect("named").to_owned();
        let mut tab = Tab { browser: self, session };
        for domain in ["Page", "Network", "Log", "Audits", "Runtime"] {
            tab.ask(&format!("{domain}.enable"), &json!({}));
        }
        let View { width, height, scheme, .. } = view;
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        tab.ask("Emulation.setDeviceMetricsOverride", &screen);
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        tab.ask("Emulation.setEmulatedMedia", &features);
        tab.browser.told.clear();
        let gone = tab.ask("Page.navigate", &json!({"url": url}));
        assert!(gone.get("errorText").is_none(), "{gone}");
        tab.browser.until(|told| told["method"] == "Page.loadEventFired");
        tab
    }

    fn ask(&mut self, session: Option<&str>, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        let mut message = json!({"id": id, "method": method, "params": params});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.as_mut().expect("open").write_all(&bytes).expect("it reads");
        let answer = self.until(|told| told["id"] == id);
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Waits for a message like this, and keeps those before it.
    fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            match self.from.recv_timeout(PATIENCE) {
                Ok(message) if fits(&message) => return message,
                Ok(message) => self.told.push(message),
                Err(error) => {
                    let errors = fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default();
                    panic!("{error}: {errors}");
                }
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Without its pipe it ends, and takes its own children with it.
        drop(self.to.take());
        while let Ok(_) | Err(RecvTimeoutError::Timeout) = self.from.recv_timeout(PATIENCE) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// One open page.
pub(super) struct Tab<'b> {
    browser: &'b mut Browser,
    session: String,
}

impl Tab<'_> {
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let session = self.session.clone();
        self.browser.ask(Some(&session), method, params)
    }

    /// What this expression comes to on the page.
    pub(super) fn look(&mut self, expression: &str) -> Value {
        let looked = self.ask("Runtime.evaluate", &json!({"expression": expression, "returnByValue": true}));
        assert!(looked.get("exceptionDetails").is_none(), "{looked:#}");
        looked["result"]["value"].clone()
    }

    /// Every address that was asked for, beside what lies in the page itself.
    pub(super) fn requests(&self) -> Vec<String> {
        let sent = self.events("Network.requestWillBeSent");
        let urls = sent.filter_map(|params| params["request"]["url"].as_str());
        urls.filter(|url| !url.starts_with("data:")).map(str::to_owned).collect()
    }

    /// What the browser holds against the page: breaches of its policy above all.
    pub(super) fn complaints(&mut self) -> Vec<String> {
        // Whatever was on its way has come once this is answered.
        self.look("1");
        let names = ["Log.entryAdded", "Audits.issueAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"];
        names.into_iter().flat_map(|name| self.events(name)).map(Value::to_string).collect()
    }

    fn events(&self, method: &str) -> impl Iterator<Item = &Value> {
        let own = move |told: &&Value| told["method"] == method && told["sessionId"] == self.session;
        self.browser.told.iter().filter(own).map(|told| &told["params"])
    }

    /// The whole page as a picture, for people, in the folder for tests' files.
    pub(super) fn picture(&mut self, name: &str) {
        let taken = self.ask("Page.captureScreenshot", &json!({"captureBeyondViewport": true}));
        let bytes = base64::engine::general_purpose::STANDARD.decode(taken["data"].as_str().expect("a picture"));
        let path = format!("{}/page-{name}.png", env!("CARGO_TARGET_TMPDIR"));
        fs::write(path, bytes.expect("base64")).expect("written");
    }
}
