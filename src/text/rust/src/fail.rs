// SPDX-License-Identifier: Apache-2.0
// What went wrong, as it crosses the border to C++: a kind (base/error.h has the same ones) and a message.

#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(i32)]
pub enum FailKind {
    User = 1,
    Format = 2,
    Internal = 3,
}

#[derive(Debug)]
pub struct Fail {
    pub kind: FailKind,
    pub message: String,
}

impl Fail {
    pub fn user(message: impl Into<String>) -> Fail {
        Fail { kind: FailKind::User, message: message.into() }
    }
    pub fn format(message: impl Into<String>) -> Fail {
        Fail { kind: FailKind::Format, message: message.into() }
    }
}
