//! The codec against Python's own.

use std::io::Write as _;

use tidegate_dramatiq::{Json, Message};
use tidegate_store::dramatiq::QueueName;

use crate::site::{python, run_to_its_end};

/// More than enough for each kind of value to come in each place.
const MESSAGES: usize = 3_000;

#[tokio::test]
async fn what_python_writes_is_read_and_written_again_byte_for_byte() {
    let count = MESSAGES.to_string();
    let lines = run_to_its_end(&python(&["codec-write", "20", &count])).await;
    assert_eq!(lines.len(), MESSAGES);
    for line in lines {
        let message = Message::decode(line.as_bytes()).unwrap_or_else(|error| {
            panic!("{error}: {line}");
        });
        assert_eq!(message.encode(), line);
    }
}

#[tokio::test]
async fn what_is_written_here_python_reads_and_writes_again_byte_for_byte() {
    let queue = QueueName::new("default").expect("a name");
    let texts = ["", "é", "\u{0}\n\t\"\\/\u{7f}", "😀\u{2028}", "plain"];
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let mut count = 0;
    for (i, text) in (0..).zip(texts.iter().cycle().take(200)) {
        let args = Json::of(&(i, text, [Some(i), None], i % 2 == 0)).expect("JSON");
        let kwargs = Json::object([(*text, &Json::text(text))]);
        let mut message = Message::new(&queue, text, args, kwargs, i);
        message.options.set("pipe_target", message.to_json());
        for (_, message) in [message.clone().ready(), message.delayed(i)] {
            file.write_all(&message.encode()).expect("it is written");
            file.write_all(b"\n").expect("it is written");
            count += 1;
        }
    }
    let path = file.path().to_str().expect("a path of text");
    let lines = run_to_its_end(&python(&["codec-read", path])).await;
    assert_eq!(lines, [format!("read {count}")]);
}
