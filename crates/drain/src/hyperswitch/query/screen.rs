//! The screen: what SQL text may look like before it is parsed.
//!
//! The parser builds a tree as deep as a chain of operators is long, and such a tree overflows the
//! stack when it is dropped. So the tokens are counted first: between two commas of one level
//! there are a few of them, and parentheses are hardly nested. What diesel makes is far below.
//! Pure.

use sqlparser::tokenizer::{Token, TokenWithSpan};

/// The most tokens between two commas of one level. A key of thirty columns needs as many.
const RUN_TOKENS_MAX: usize = 400;
/// The most levels of parentheses.
const LEVELS_MAX: usize = 8;

/// Whether tokens can be parsed into a tree that is not deep.
pub(super) fn is_shallow(tokens: &[TokenWithSpan]) -> bool {
    let mut runs = vec![0_usize];
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => continue,
            Token::LParen => {
                if runs.len() > LEVELS_MAX {
                    return false;
                }
                runs.push(0);
            }
            Token::RParen if runs.len() > 1 => {
                runs.pop();
            }
            Token::Comma => {
                if let Some(run) = runs.last_mut() {
                    *run = 0;
                }
            }
            _ => {}
        }
        if let Some(run) = runs.last_mut() {
            *run += 1;
            if *run > RUN_TOKENS_MAX {
                return false;
            }
        }
    }
    true
}
