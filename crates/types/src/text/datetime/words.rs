//! The words of dates and times.

/// What a word means in a date or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Month(i32),
    Weekday,
    BeforeNoon,
    AfterNoon,
    BeforeChrist,
    AnnoDomini,
    /// One hour on top of the zone before it.
    DaylightSaving,
    /// What the number after it is.
    Label(Label),
    Now,
    Today,
    Tomorrow,
    Yesterday,
    Midnight,
    Epoch,
    Infinity,
    NegInfinity,
    /// Filler.
    Nothing,
}

/// What the number after a label is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    /// Days since 4714-11-24 BC.
    JulianDay,
    /// A time of day follows, as in `2024-02-29T13:05`.
    Time,
    /// A label that no number can follow here.
    Other,
}

/// Letters of a word that count, as in PostgreSQL.
pub(in crate::text) const LETTERS_MAX: usize = 10;

/// The meaning of a word in small letters.
pub(super) fn meaning(word: &str) -> Option<Word> {
    Some(match &word[..word.len().min(LETTERS_MAX)] {
        "jan" | "january" => Word::Month(1),
        "feb" | "february" => Word::Month(2),
        "mar" | "march" => Word::Month(3),
        "apr" | "april" => Word::Month(4),
        "may" => Word::Month(5),
        "jun" | "june" => Word::Month(6),
        "jul" | "july" => Word::Month(7),
        "aug" | "august" => Word::Month(8),
        "sep" | "sept" | "september" => Word::Month(9),
        "oct" | "october" => Word::Month(10),
        "nov" | "november" => Word::Month(11),
        "dec" | "december" => Word::Month(12),
        "sun" | "sunday" | "mon" | "monday" | "tue" | "tues" | "tuesday" | "wed" | "weds" | "wednesday" | "thu" | "thur"
        | "thurs" | "thursday" | "fri" | "friday" | "sat" | "saturday" => Word::Weekday,
        "am" => Word::BeforeNoon,
        "pm" => Word::AfterNoon,
        "bc" => Word::BeforeChrist,
        "ad" => Word::AnnoDomini,
        "dst" => Word::DaylightSaving,
        "y" => Word::Label(Label::Year),
        "m" => Word::Label(Label::Month),
        "d" => Word::Label(Label::Day),
        "h" => Word::Label(Label::Hour),
        "mm" => Word::Label(Label::Minute),
        "s" => Word::Label(Label::Second),
        "j" | "jd" | "julian" => Word::Label(Label::JulianDay),
        "t" => Word::Label(Label::Time),
        "dow" | "doy" | "isodow" | "isoyear" => Word::Label(Label::Other),
        "now" => Word::Now,
        "today" => Word::Today,
        "tomorrow" => Word::Tomorrow,
        "yesterday" => Word::Yesterday,
        "allballs" => Word::Midnight,
        "epoch" => Word::Epoch,
        "infinity" => Word::Infinity,
        "-infinity" => Word::NegInfinity,
        "at" | "on" => Word::Nothing,
        _ => return None,
    })
}
