//! What people read and search: which characters they cannot see, and which texts are the same but for case.

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::{
    CodePointSetData,
    props::{DefaultIgnorableCodePoint, WhiteSpace},
};

/// Shown as nothing, though Unicode counts them neither as white space nor as ignorable: the Braille pattern without dots, the
/// anchors of annotations, the filler of Khitan, and the null note head.
const OTHER_INVISIBLE: [char; 6] = ['\u{2800}', '\u{FFF9}', '\u{FFFA}', '\u{FFFB}', '\u{16FE4}', '\u{1D159}'];

/// Whether the character shows nothing: white space, joiners, fillers, selectors, tags and their like.
pub fn is_invisible(c: char) -> bool {
    CodePointSetData::new::<WhiteSpace>().contains(c)
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || OTHER_INVISIBLE.contains(&c)
}

/// Whether nobody can see anything of the text.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(is_invisible)
}

/// Whether the character opens or closes a stretch of text that is laid out in another direction, so that people do not read
/// what stands there. The marks U+200E and U+200F, which languages need, have no such effect.
pub const fn reorders_text(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The text as search compares it, so that `ärzte` finds `ÄRZTE` and `strasse` finds `Straße`: compatibility forms are one
/// (NFKC), case is folded, what cannot be seen but separates no words is left out, and the four letters i of Turkic languages
/// are one.
pub fn search_key(text: &str) -> String {
    let nfkc = ComposingNormalizerBorrowed::new_nfkc();
    let folded = CaseMapper::new().fold_string(&nfkc.normalize(text)).replace("i\u{307}", "i").replace('\u{131}', "i");
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
    let shown: String = folded.chars().filter(|c| !ignorable.contains(*c)).collect();
    // Folding can take composed characters apart.
    nfkc.normalize(&shown).into_owned()
}

/// Reads a name of the command line.
pub fn parse_name(text: &str) -> Result<String, &'static str> {
    if is_blank(text) {
        Err("must not be blank")
    } else if text.chars().any(char::is_control) {
        Err("must not contain control characters")
    } else if text.chars().any(reorders_text) {
        Err("must not contain characters that reorder text (U+202A to U+202E, U+2066 to U+2069)")
    } else {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_invisible_characters_is_blank() {
        let invisible = "\u{9}\u{20}\u{85}\u{a0}\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{1680}\u{17b4}\u{17b5}\u{180b}\u{180e}\
                         \u{2000}\u{200a}\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202f}\u{205f}\u{2060}\u{2063}\
                         \u{206f}\u{2800}\u{3000}\u{3164}\u{fe00}\u{fe0f}\u{feff}\u{ffa0}\u{fff9}\u{1bca0}\u{1d173}\u{e0001}\
                         \u{e0020}\u{e007f}\u{e0100}\u{e01ef}";
        for c in invisible.chars() {
            assert!(is_blank(&c.to_string()), "{}", c.escape_unicode());
        }
        assert!(is_blank("") && is_blank(invisible));
        for text in ["a", "\u{200b}a", "ー", "🔑", "👩\u{200d}🚀", "\u{301}", "می\u{200c}خواهم", "\u{2801}", "."]
        {
            assert!(!is_blank(text), "{text}");
        }
    }

    #[test]
    fn only_embeddings_overrides_and_isolates_reorder_text() {
        let reordering: Vec<u32> =
            (0..=0x0010_FFFF).filter(|c| char::from_u32(*c).is_some_and(reorders_text)).collect();
        assert_eq!(reordering, (0x202A..=0x202E).chain(0x2066..=0x2069).collect::<Vec<_>>());
    }

    #[test]
    fn texts_that_differ_in_case_have_one_search_key() {
        for (name, search) in [
            ("ÄRZTE GmbH", "ärzte gmbh"),
            ("A\u{308}RZTE", "ärzte"),
            ("Straße", "STRASSE"),
            ("STRA\u{1e9e}E", "straße"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
            ("İSTANBUL", "istanbul"),
            ("ışık", "IŞIK"),
            ("ＡＣＭＥ", "acme"),
            ("ﬁrm", "FIRM"),
            ("Acme\u{ad}Corp", "acmecorp"),
            ("МОСКВА", "москва"),
            ("ǅ", "ǆ"),
            ("Ꭰ", "ꭰ"),
        ] {
            assert_eq!(search_key(name), search_key(search), "{name}");
        }
        assert_ne!(search_key("Ärzte"), search_key("Arzte"));
        assert_eq!(search_key("100% a_b\\c!"), "100% a_b\\c!");
    }
}
