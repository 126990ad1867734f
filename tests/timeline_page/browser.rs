//! A headless browser with one page, led over a pair of pipes in the words of the DevTools protocol: it opens files, clicks, turns the
//! wheel, presses keys, and asks the page what there is.
//!
//! Nothing of it outlives a test. Whatever the page complains of, and whatever it asks any network for, is kept.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

const NAMES: [&str; 5] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
const PATIENCE: Duration = Duration::from_secs(90);

/// One browser.
pub(crate) struct Browser {
    child: Child,
    folder: PathBuf,
    orders: File,
    answers: Receiver<Value>,
    number: u64,
    session: Option<String>,
    complaints: Vec<String>,
}

impl Browser {
    /// Starts one. That none is installed is a failure, not a reason to test nothing.
    pub(crate) fn start() -> Self {
        let program = NAMES.into_iter().find_map(found).unwrap_or_else(|| {
            panic!("no browser is installed, as {NAMES:?}: `scripts/test-needs` installs what the tests need")
        });
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder of the test's own");
        // Opened for both ways, so that opening waits for nobody; the shell gives the browser its ends under the numbers it expects.
        let pipe = |name: &str| {
            let path = folder.join(name);
            mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a named pipe");
            File::options().read(true).write(true).open(path).expect("the pipe that was just made")
        };
        let (orders, said) = (pipe("orders"), pipe("answers"));
        let child = Command::new("sh")
            .arg("-c")
            .arg("program=$1; shift; exec \"$program\" \"$@\" 3<orders 4>answers 2>complaints")
            .arg("sh")
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--force-color-profile=srgb", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .arg("about:blank")
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("a shell");
        let (tell, answers) = channel();
        thread::spawn(move || {
            let mut said = BufReader::new(said);
            loop {
                let mut words = Vec::new();
                match said.read_until(0, &mut words) {
                    Ok(read) if read > 0 => {}
                    _ => return,
                }
                words.pop();
                let Ok(words) = serde_json::from_slice(&words) else { return };
                if tell.send(words).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self { child, folder, orders, answers, number: 0, session: None, complaints: Vec::new() };
        let target = browser.order("Target.createTarget", json!({ "url": "about:blank" }));
        let target = &target["targetId"];
        let attached = browser.order("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            browser.order(domain, json!({}));
        }
        browser.size(1400, 900);
        browser
    }

    /// How large the page is, in pixels.
    pub(crate) fn size(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.order("Emulation.setDeviceMetricsOverride", size);
    }

    /// Whether the reader likes it dark.
    pub(crate) fn dark(&mut self, dark: bool) {
        let scheme = json!({ "name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" } });
        self.order("Emulation.setEmulatedMedia", json!({ "features": [scheme] }));
    }

    /// Goes to a page in a file, whatever comes of it.
    pub(crate) fn go(&mut self, page: &str) {
        let file = self.folder.join("page.html");
        fs::write(&file, page).expect("the page as a file");
        self.order("Page.navigate", json!({ "url": format!("file://{}", file.display()) }));
    }

    /// Opens a page from a file, and waits until it says that it is ready and is drawn. Returns how long that took.
    #[expect(clippy::disallowed_methods, reason = "how long a real browser takes is real time")]
    pub(crate) fn open(&mut self, page: &str) -> Duration {
        let began = Instant::now();
        self.go(page);
        loop {
            if self.ask("document.documentElement?.dataset.ready !== undefined") == json!(true) {
                self.frames();
                return began.elapsed();
            }
            assert!(self.complaints.is_empty(), "the page failed: {:#?}", self.complaints);
            assert!(began.elapsed() < PATIENCE, "the page is never ready");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The value of an expression in the page; of a promise, what it comes to.
    pub(crate) fn ask(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.order("Runtime.evaluate", asked);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer:#}");
        answer["result"]["value"].clone()
    }

    /// The words of an element, as they are seen.
    pub(crate) fn words(&mut self, element: &str) -> String {
        let words = self.ask(&format!("document.querySelector({element:?}).innerText"));
        words.as_str().unwrap_or_else(|| panic!("{element} has words")).to_owned()
    }

    /// What all such elements say, in their order in the page.
    pub(crate) fn all_words(&mut self, elements: &str) -> Vec<String> {
        let words = self.ask(&format!("[...document.querySelectorAll({elements:?})].map((e) => e.textContent)"));
        serde_json::from_value(words).expect("a list of words")
    }

    /// Clicks on the middle of the first element that the expression names, with the mouse.
    pub(crate) fn click(&mut self, element: &str) {
        let place = format!(
            "(() => {{ const e = {element}; e.scrollIntoView({{ block: 'center' }}); const b = e.getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2]; }})()"
        );
        let place = self.ask(&place);
        let (x, y) = (place[0].as_f64().expect("a place"), place[1].as_f64().expect("a place"));
        self.mouse("mouseMoved", x, y, 0.0);
        self.mouse("mousePressed", x, y, 0.0);
        self.mouse("mouseReleased", x, y, 0.0);
        self.frames();
    }

    /// Presses the mouse at one place and lets it go at another.
    pub(crate) fn drag(&mut self, (x, y): (f64, f64), (to_x, to_y): (f64, f64)) {
        self.mouse("mousePressed", x, y, 0.0);
        self.mouse("mouseMoved", f64::midpoint(x, to_x), f64::midpoint(y, to_y), 0.0);
        self.mouse("mouseMoved", to_x, to_y, 0.0);
        self.mouse("mouseReleased", to_x, to_y, 0.0);
        self.frames();
    }

    /// Moves the mouse there.
    pub(crate) fn point(&mut self, x: f64, y: f64) {
        self.mouse("mouseMoved", x, y, 0.0);
        self.frames();
    }

    /// Turns the wheel at a place.
    pub(crate) fn wheel(&mut self, x: f64, y: f64, by: f64) {
        self.mouse("mouseWheel", x, y, by);
        self.frames();
    }

    /// Presses a key.
    pub(crate) fn press(&mut self, key: &str) {
        let text = if key.chars().count() == 1 { key } else { "" };
        self.order("Input.dispatchKeyEvent", json!({ "type": "keyDown", "key": key, "text": text }));
        self.order("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key }));
        self.frames();
    }

    /// What the page complained of, or asked a network for, since the browser was started.
    pub(crate) fn complaints(&mut self) -> &[String] {
        self.frames();
        &self.complaints
    }

    /// Waits until it complains of something that holds these words.
    #[expect(clippy::disallowed_methods, reason = "how long a real browser takes is real time")]
    pub(crate) fn hear(&mut self, words: &str) {
        let began = Instant::now();
        while !self.complaints.iter().any(|said| said.contains(words)) {
            assert!(began.elapsed() < PATIENCE, "nothing is heard of {words:?}: {:?}", self.complaints);
            self.frames();
        }
    }

    /// Waits until the page has been drawn again.
    pub(crate) fn frames(&mut self) {
        self.ask("new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(() => go(true))))");
    }

    fn mouse(&mut self, what: &str, x: f64, y: f64, wheel: f64) {
        let pressed = if matches!(what, "mouseWheel" | "mouseMoved") { "none" } else { "left" };
        let mouse =
            json!({ "type": what, "x": x, "y": y, "button": pressed, "clickCount": 1, "deltaX": 0, "deltaY": wheel });
        self.order("Input.dispatchMouseEvent", mouse);
    }

    fn order(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut order = json!({ "id": self.number, "method": method, "params": params });
        if let Some(session) = &self.session {
            order["sessionId"] = json!(session);
        }
        let mut bytes = order.to_string().into_bytes();
        bytes.push(0);
        self.orders.write_all(&bytes).expect("the pipe is open");
        loop {
            let words = match self.answers.recv_timeout(PATIENCE) {
                Ok(words) => words,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let said = fs::read_to_string(self.folder.join("complaints")).unwrap_or_default();
                    panic!(
                        "the browser does not answer {method}; it ended: {:?}; it said: {said}",
                        self.child.try_wait()
                    );
                }
            };
            self.listen(&words);
            if words["id"] == json!(self.number) {
                assert!(words.get("error").is_none(), "{method}: {words:#}");
                return words["result"].clone();
            }
        }
    }

    fn listen(&mut self, words: &Value) {
        let params = &words["params"];
        match words["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                let mut said = params["exceptionDetails"]["text"].to_string();
                let _ = write!(said, " {}", params["exceptionDetails"]["exception"]["description"]);
                self.complaints.push(said);
            }
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                self.complaints.push(params["entry"]["text"].to_string());
            }
            Some("Runtime.consoleAPICalled") if params["type"] == "error" => {
                self.complaints.push(params["args"].to_string());
            }
            Some("Network.requestWillBeSent") => {
                let address = params["request"]["url"].as_str().unwrap_or_default();
                if !address.starts_with("file:") && address != "about:blank" {
                    self.complaints.push(format!("asks for {address}"));
                }
            }
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Without its own word of farewell it would leave processes of its own behind for a moment.
        self.session = None;
        let farewell = b"{\"id\":0,\"method\":\"Browser.close\"}\0";
        let _ = self.orders.write_all(farewell);
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                break;
            }
            thread::sleep(Duration::from_millis(30));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Where a program lies, if it can be called by this name.
fn found(name: &str) -> Option<PathBuf> {
    let places = std::env::var_os("PATH")?;
    std::env::split_paths(&places).map(|place| place.join(name)).find(|file| file.is_file())
}
