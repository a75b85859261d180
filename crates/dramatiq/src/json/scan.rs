//! Walks over a JSON text once, checks it, and writes it down again: compact and in ASCII.

use super::{NESTING_MAX, NotJson};

/// What holds other values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Object,
}

/// A text, how far it was walked, and what was written.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    out: String,
    /// The lists and objects that are open, the outermost first.
    open: Vec<Kind>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            out: String::with_capacity(text.len()),
            open: Vec::new(),
        }
    }

    /// Walks over one value and nothing else.
    pub(super) fn whole(mut self) -> Result<String, NotJson> {
        self.skip_space();
        loop {
            let opened = self.value()?;
            if !opened && self.close_and_go_on()? {
                break;
            }
        }
        self.skip_space();
        match self.peek() {
            None => Ok(self.out),
            Some(_) => Err(self.problem("something after the value")),
        }
    }

    /// Walks over a value that holds no other, or into one that does: true for that.
    fn value(&mut self) -> Result<bool, NotJson> {
        match self.peek() {
            Some(b'[') => self.begin(Kind::List, b']'),
            Some(b'{') => self.begin(Kind::Object, b'}'),
            Some(b'"') => self.string().map(|()| false),
            Some(_) => self.scalar().map(|()| false),
            None => Err(self.problem("the end where a value should be")),
        }
    }

    /// Opens a list or an object; an empty one is closed at once and counts as a plain value.
    fn begin(&mut self, kind: Kind, end: u8) -> Result<bool, NotJson> {
        if self.open.len() >= NESTING_MAX {
            return Err(self.problem("a value nested too deep"));
        }
        self.copy_byte();
        self.skip_space();
        if self.peek() == Some(end) {
            self.copy_byte();
            return Ok(false);
        }
        self.open.push(kind);
        if kind == Kind::Object {
            self.name()?;
        }
        Ok(true)
    }

    /// After a value: closes what ends here, and goes to the next value. True when all is closed.
    fn close_and_go_on(&mut self) -> Result<bool, NotJson> {
        loop {
            let Some(kind) = self.open.last().copied() else {
                return Ok(true);
            };
            self.skip_space();
            match (self.peek(), kind) {
                (Some(b','), _) => {
                    self.copy_byte();
                    self.skip_space();
                    if kind == Kind::Object {
                        self.name()?;
                    }
                    return Ok(false);
                }
                (Some(b']'), Kind::List) | (Some(b'}'), Kind::Object) => {
                    self.copy_byte();
                    self.open.pop();
                }
                _ => return Err(self.problem("neither a comma nor the end of a list or object")),
            }
        }
    }

    /// A member's name and its colon, up to where its value begins.
    fn name(&mut self) -> Result<(), NotJson> {
        if self.peek() != Some(b'"') {
            return Err(self.problem("no name of a member"));
        }
        self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.problem("no colon after a name"));
        }
        self.copy_byte();
        self.skip_space();
        Ok(())
    }

    fn string(&mut self) -> Result<(), NotJson> {
        self.copy_byte();
        loop {
            let rest = self.rest();
            let Some(character) = rest.chars().next() else {
                return Err(self.problem("a string without an end"));
            };
            match character {
                '"' => {
                    self.copy_byte();
                    return Ok(());
                }
                '\\' => self.escape()?,
                '\0'..='\x1f' => return Err(self.problem("a control character in a string")),
                ' '..='~' => self.copy_byte(),
                _ => {
                    push_escaped(&mut self.out, character);
                    self.at += character.len_utf8();
                }
            }
        }
    }

    fn escape(&mut self) -> Result<(), NotJson> {
        let bytes = self.rest().as_bytes();
        let len = match bytes.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u')
                if bytes
                    .get(2..6)
                    .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) =>
            {
                6
            }
            _ => return Err(self.problem("an escape that is none")),
        };
        self.copy(len);
        Ok(())
    }

    /// A number or a word.
    fn scalar(&mut self) -> Result<(), NotJson> {
        let rest = self.rest();
        let words = ["null", "true", "false", "NaN", "Infinity", "-Infinity"];
        let word = words.iter().find(|word| rest.starts_with(**word));
        let len = word.map_or_else(|| number_len(rest.as_bytes()), |word| word.len());
        if len == 0 {
            return Err(self.problem("no value"));
        }
        self.copy(len);
        Ok(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn copy_byte(&mut self) {
        self.copy(1);
    }

    /// Copies so many bytes, which are ASCII.
    fn copy(&mut self, len: usize) {
        let part = self.text.get(self.at..self.at + len).unwrap_or_default();
        self.out.push_str(part);
        self.at += len;
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn problem(&self, problem: &'static str) -> NotJson {
        NotJson {
            problem,
            at: self.at,
        }
    }
}

/// How many bytes a number takes: `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?`; 0 for none.
fn number_len(bytes: &[u8]) -> usize {
    let digits = |at: usize| {
        let rest = bytes.get(at..).unwrap_or_default();
        rest.iter().take_while(|it| it.is_ascii_digit()).count()
    };
    let mut len = usize::from(bytes.first() == Some(&b'-'));
    len += match (digits(len), bytes.get(len)) {
        (0, _) => return 0,
        (_, Some(b'0')) => 1,
        (some, _) => some,
    };
    if bytes.get(len) == Some(&b'.') && digits(len + 1) > 0 {
        len += 1 + digits(len + 1);
    }
    if let Some(b'e' | b'E') = bytes.get(len) {
        let sign = usize::from(matches!(bytes.get(len + 1), Some(b'-' | b'+')));
        let exponent = digits(len + 1 + sign);
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    len
}

/// Writes a character of a string as Python's encoder does.
pub(super) fn push_escaped(out: &mut String, character: char) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        ' '..='~' => out.push(character),
        _ => {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
}

/// The values in a compact list, or names and values of a compact object in turn.
pub(super) fn children(text: &str, kind: Kind) -> Option<Vec<&str>> {
    let (start, end) = match kind {
        Kind::List => ('[', ']'),
        Kind::Object => ('{', '}'),
    };
    let inner = text.strip_prefix(start)?.strip_suffix(end)?;
    let mut parts = Vec::new();
    if inner.is_empty() {
        return Some(parts);
    }
    let (mut depth, mut in_string, mut escaped, mut begin) = (0_usize, false, false, 0);
    for (at, byte) in inner.bytes().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' | b':' if depth == 0 => {
                parts.push(inner.get(begin..at)?);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(inner.get(begin..)?);
    Some(parts)
}
