//! The short path: exactly the form that is written (`2024-02-29 13:05:09.25+02`, with a `T` too), and nothing else.
//!
//! Each function answers `None` for any other text, right or wrong: `fields` and `decode` then say what it is.

use crate::calendar::{self, DAY, HOUR, MINUTE, SECOND};

/// `2024-02-29` as days since 1970-01-01.
pub(super) fn date(s: &[u8]) -> Option<i32> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = s else { return None };
    let year = (two(y1, y2)? * 100 + two(y3, y4)?) as i32;
    let (month, day) = (two(m1, m2)?, two(d1, d2)?);
    let exists = year > 0 && (1..=12).contains(&month) && day > 0 && day <= calendar::days_in_month(year, month);
    exists.then(|| calendar::days_from_civil(year, month, day) as i32)
}

/// `13:05:09.25` as microseconds since midnight.
pub(super) fn time(s: &[u8]) -> Option<i64> {
    let (time, rest) = time_and_rest(s)?;
    rest.is_empty().then_some(time)
}

/// `2024-02-29 13:05:09.25` as microseconds since 1970-01-01, and `+02:30` after it as seconds.
pub(super) fn timestamp(s: &[u8]) -> Option<(i64, Option<i32>)> {
    let (day, rest) = s.split_at_checked(10)?;
    let day = i64::from(date(day)?) * DAY;
    let [b' ' | b'T', rest @ ..] = rest else { return None };
    let (time, rest) = time_and_rest(rest)?;
    let offset = match rest {
        [] => None,
        b"Z" => Some(0),
        &[sign @ (b'+' | b'-'), h1, h2, ref minutes @ ..] => {
            let minutes = match minutes {
                [] => 0,
                &[b':', m1, m2] => two(m1, m2).filter(|m| *m < 60)?,
                _ => return None,
            };
            let seconds = (two(h1, h2).filter(|h| *h < 16)? * 3600 + minutes * 60) as i32;
            Some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => return None,
    };
    Some((day + time, offset))
}

fn time_and_rest(s: &[u8]) -> Option<(i64, &[u8])> {
    let &[h1, h2, b':', m1, m2, b':', s1, s2, ref rest @ ..] = s else { return None };
    let (hour, minute, second) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => {
            let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            if len == 0 || len > 6 {
                return None;
            }
            let digits = rest[..len].iter().fold(0, |sum, b| sum * 10 + i64::from(b - b'0'));
            (digits * 10i64.pow(6 - len as u32), &rest[len..])
        }
        rest => (0, rest),
    };
    Some((i64::from(hour) * HOUR + i64::from(minute) * MINUTE + i64::from(second) * SECOND + fraction, rest))
}

fn two(tens: u8, ones: u8) -> Option<u32> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
}
