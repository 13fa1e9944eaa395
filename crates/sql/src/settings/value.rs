//! Values of settings: from what was written to what is kept, and from that to what SHOW shows.
//!
//! ```text
//! written     '4MB', 4096, on, 'Read Committed'
//! kept        4096,  4096, on, read committed        base units, canonical words
//! shown       4MB,   4MB,  on, read committed        the largest unit that leaves a whole number
//! ```

use types::{SqlError, SqlState};

use crate::settings::definition::{Definition, Kind, Unit};

/// What is kept of a value. Errors: 22023.
pub(crate) fn canonical(definition: &Definition, value: &str) -> Result<String, SqlError> {
    let name = definition.name;
    match &definition.kind {
        Kind::Bool => match boolean(value) {
            Some(on) => Ok(if on { "on" } else { "off" }.to_owned()),
            None => Err(invalid(format!("parameter \"{name}\" requires a Boolean value"))),
        },
        Kind::Integer { min, max, unit } => {
            let number = number(definition, value, *unit)?.round_ties_even();
            if !(*min as f64..=*max as f64).contains(&number) {
                return Err(out_of_range(definition, number, *min as f64, *max as f64));
            }
            Ok(format!("{}", number as i64))
        }
        Kind::Real { min, max, unit } => {
            let number = number(definition, value, *unit)?;
            if !(*min..=*max).contains(&number) {
                return Err(out_of_range(definition, number, *min, *max));
            }
            Ok(format!("{number}"))
        }
        Kind::Enum(values) => {
            if let Some(known) = values.iter().find(|v| v.eq_ignore_ascii_case(value)) {
                return Ok((*known).to_owned());
            }
            // Enumerations that grew out of Booleans still take those.
            if let Some(on) = boolean(value)
                && let Some(known) = values.iter().find(|v| boolean(v) == Some(on))
            {
                return Ok((*known).to_owned());
            }
            Err(invalid_value(name, value).hint(format!("Available values: {}.", values.join(", "))))
        }
        Kind::Text | Kind::Names => Ok(value.to_owned()),
    }
}

/// How SHOW writes a value that is kept.
pub(crate) fn shown(definition: &Definition, kept: &str) -> String {
    let (Kind::Integer { unit, .. } | Kind::Real { unit, .. }) = definition.kind else { return kept.to_owned() };
    let (step, units): (i64, &[(&str, i64)]) = match unit {
        Unit::None => return kept.to_owned(),
        Unit::Bytes(step) => (step, &[("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1024), ("B", 1)]),
        Unit::Millis(step) => (step, &[("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)]),
    };
    let Ok(number) = kept.parse::<i64>() else {
        return format!("{kept}{}", definition.unit);
    };
    if number <= 0 {
        return kept.to_owned();
    }
    let total = i128::from(number) * i128::from(step);
    let fits = units.iter().find(|(_, size)| total % i128::from(*size) == 0);
    fits.map_or_else(|| kept.to_owned(), |(unit, size)| format!("{}{unit}", total / i128::from(*size)))
}

/// PostgreSQL's `parse_bool`: any unambiguous beginning of true, false, yes, no, on, off; 1 and 0.
pub(crate) fn boolean(value: &str) -> Option<bool> {
    let value = value.trim().to_ascii_lowercase();
    let is = |word: &str, least: usize| value.len() >= least && word.starts_with(value.as_str());
    if is("true", 1) || is("yes", 1) || is("on", 2) || value == "1" {
        Some(true)
    } else if is("false", 1) || is("no", 1) || is("off", 2) || value == "0" {
        Some(false)
    } else {
        None
    }
}

/// A number in base units.
fn number(definition: &Definition, value: &str, unit: Unit) -> Result<f64, SqlError> {
    let text = value.trim();
    let digits = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+' | 'e' | 'E')).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(digits);
    let number: f64 = digits.trim().parse().map_err(|_| invalid_value(definition.name, value))?;
    let suffix = suffix.trim();
    if suffix.is_empty() {
        return Ok(number);
    }
    let units: (i64, &[(&str, f64)], &str) = match unit {
        Unit::None => return Err(invalid_value(definition.name, value)),
        Unit::Bytes(step) => (
            step,
            &[("B", 1.0), ("kB", 1024.0), ("MB", 1048576.0), ("GB", 1073741824.0), ("TB", 1099511627776.0)],
            "Valid units for this parameter are \"B\", \"kB\", \"MB\", \"GB\", and \"TB\".",
        ),
        Unit::Millis(step) => (
            step,
            &[("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("min", 60_000.0), ("h", 3_600_000.0), ("d", 86_400_000.0)],
            "Valid units for this parameter are \"us\", \"ms\", \"s\", \"min\", \"h\", and \"d\".",
        ),
    };
    match units.1.iter().find(|(name, _)| *name == suffix) {
        Some((_, size)) => Ok(number * size / units.0 as f64),
        None => Err(invalid_value(definition.name, value).hint(units.2)),
    }
}

pub(crate) fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

pub(crate) fn invalid_value(name: &str, value: &str) -> SqlError {
    invalid(format!("invalid value for parameter \"{name}\": \"{value}\""))
}

fn out_of_range(definition: &Definition, number: f64, min: f64, max: f64) -> SqlError {
    let unit = if definition.unit.is_empty() { String::new() } else { format!(" {}", definition.unit) };
    let name = definition.name;
    invalid(format!("{number}{unit} is outside the valid range for parameter \"{name}\" ({min} .. {max})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::definition::find;

    fn kept(name: &str, value: &str) -> Result<String, SqlError> {
        canonical(find(name).unwrap(), value)
    }

    #[test]
    fn units_are_converted_and_shown_as_postgresql_does() {
        for (name, written, shown_as) in [
            ("work_mem", "4MB", "4MB"),
            ("work_mem", "65536", "64MB"),
            ("work_mem", "1.5GB", "1536MB"),
            ("work_mem", "100", "100kB"),
            ("statement_timeout", "1min", "1min"),
            ("statement_timeout", "1500", "1500ms"),
            ("statement_timeout", "0", "0"),
            ("effective_cache_size", "1GB", "1GB"),
            ("enable_sort", "tr", "on"),
            ("synchronous_commit", "OFF", "off"),
            ("client_min_messages", "Warning", "warning"),
            ("random_page_cost", "1.10", "1.1"),
        ] {
            assert_eq!(shown(find(name).unwrap(), &kept(name, written).unwrap()), shown_as, "{name} = {written}");
        }
    }

    #[test]
    fn wrong_values_are_refused_with_postgresqls_words() {
        let message = |name, value| kept(name, value).unwrap_err().message;
        assert_eq!(message("work_mem", "1"), "1 kB is outside the valid range for parameter \"work_mem\" (64 .. 2147483647)");
        assert_eq!(message("work_mem", "4XB"), "invalid value for parameter \"work_mem\": \"4XB\"");
        assert_eq!(message("enable_sort", "2"), "parameter \"enable_sort\" requires a Boolean value");
        assert_eq!(message("client_min_messages", "loud"), "invalid value for parameter \"client_min_messages\": \"loud\"");
    }
}
