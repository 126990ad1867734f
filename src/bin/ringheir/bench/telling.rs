//! Running one measurement and telling what came of it: text for people, or one JSON object on the last line.

use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;

use crate::COULD_NOT_RUN;

/// Runs a measurement, tells its result, and gives back the exit status. Ctrl-C ends it, and with it whatever it started.
pub(super) fn run<T>(name: &str, measure: impl Future<Output = Result<T, String>>, tell: impl FnOnce(T)) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(why) => return failed(name, &why.to_string()),
    };
    let measured = runtime.block_on(async {
        tokio::select! {
            measured = measure => measured,
            _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
        }
    });
    match measured {
        Ok(measured) => {
            tell(measured);
            ExitCode::SUCCESS
        }
        Err(why) => failed(name, &why),
    }
}

fn failed(name: &str, why: &str) -> ExitCode {
    eprintln!("bench {name}: {why}");
    ExitCode::from(COULD_NOT_RUN)
}

/// One object of several: `name`, `params`, and the fields of what follows.
pub(super) fn object(name: &str, params: &impl Serialize, more: &[Value]) -> Value {
    let mut object = serde_json::Map::new();
    object.insert("name".to_owned(), name.into());
    object.insert("params".to_owned(), value(params));
    for more in more {
        if let Value::Object(fields) = more {
            object.extend(fields.clone());
        }
    }
    Value::Object(object)
}

/// As JSON. What benches tell is plain enough never to fail.
pub(super) fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or(Value::Null)
}

/// How far it is, for who waits.
pub(super) fn progress(what: impl std::fmt::Display) {
    eprintln!("{what}");
}
