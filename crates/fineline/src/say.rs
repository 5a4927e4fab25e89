//! Data on stdout, talk on stderr, JSON when asked for, colour only for a terminal. The only file that prints.

use serde::Serialize;
use std::fmt::Display;
use std::io::{IsTerminal, Write};

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// In which form a command answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Human,
    /// One JSON object per answer or per line of a list.
    Json,
}

/// The program's voice.
#[derive(Debug, Clone, Copy)]
pub struct Say {
    form: Form,
    colour: bool,
    terminal: bool,
}

impl Say {
    /// Decides form and colours from the flags and the terminal.
    #[must_use]
    pub fn new(form: Form, colour: Colour) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let colour = match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        };
        Self { form, colour, terminal }
    }

    /// Whether machines read the answer.
    #[must_use]
    pub fn is_json(self) -> bool {
        self.form == Form::Json
    }

    /// Whether talk may carry colours.
    #[must_use]
    pub const fn has_colour(self) -> bool {
        self.colour
    }

    /// Whether somebody watches stderr: progress bars only then.
    #[must_use]
    pub const fn is_watched(self) -> bool {
        self.terminal
    }

    /// The answer: for people as text, for machines as one line of JSON.
    ///
    /// # Errors
    /// When stdout is gone for another reason than a closed pipe.
    pub fn answer<T: Serialize>(self, machine: &T, human: impl Display) -> anyhow::Result<()> {
        match self.form {
            Form::Human => self.data(human),
            Form::Json => self.data(serde_json::to_string(machine)?),
        }
    }

    /// One line (or block) of data on stdout. A closed pipe is not an error: the reader has what it wanted.
    ///
    /// # Errors
    /// When stdout cannot be written for another reason.
    pub fn data(self, text: impl Display) -> anyhow::Result<()> {
        let text = text.to_string();
        let end = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
        match write!(std::io::stdout().lock(), "{text}{end}") {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Talk for people, on stderr. Silent for machines.
    pub fn talk(self, text: impl Display) {
        if self.form == Form::Human {
            self.stderr(&text.to_string());
        }
    }

    /// The next useful command.
    pub fn next(self, command: impl Display) {
        let (dim, off) = if self.colour { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        self.talk(format!("{dim}next: {command}{off}"));
    }

    /// Why it did not work, with the whole chain of causes; for machines one JSON object on stderr.
    pub fn error(self, error: &anyhow::Error) {
        let says = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref::<promise::Refusal>() {
            Some(refusal) => refusal.sentence(),
            None => cause.to_string(),
        };
        let causes: Vec<String> = error.chain().skip(1).map(says).collect();
        let error = error.chain().next().map_or_else(String::new, says);
        if self.form == Form::Json {
            let object = serde_json::json!({ "error": { "message": error, "causes": causes } });
            self.stderr(&object.to_string());
            return;
        }
        let (red, off) = if self.colour { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        self.stderr(&format!("{red}error{off}: {error}"));
        for cause in causes {
            self.stderr(&format!("  because: {cause}"));
        }
    }

    /// A block as it is, on stderr, in both forms.
    pub fn stderr(self, text: &str) {
        let mut stderr = std::io::stderr().lock();
        // Nobody left to tell when stderr itself is gone.
        let _ = writeln!(stderr, "{}", text.trim_end_matches('\n'));
    }
}
