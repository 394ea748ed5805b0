//! Words of the listings, in the order of [`LANGUAGES`].

use super::super::commerce::Material;

pub(super) const LANGUAGES: [&str; 5] = ["en", "de", "fr", "it", "es"];

/// In the order of the languages.
pub(super) type Words = [&'static str; 5];

/// Names before values.
pub(super) struct Labels {
    pub(super) category: &'static str,
    pub(super) brand: &'static str,
    pub(super) color: &'static str,
    pub(super) material: &'static str,
    pub(super) size: &'static str,
    pub(super) price_range: &'static str,
    pub(super) price: &'static str,
    pub(super) review: &'static str,
}

const fn labels(aspects: [&'static str; 5], others: [&'static str; 3]) -> Labels {
    let [category, brand, color, material, size] = aspects;
    let [price_range, price, review] = others;
    Labels { category, brand, color, material, size, price_range, price, review }
}

pub(super) const LABELS: [Labels; 5] = [
    labels(["Category", "Brand", "Color", "Material", "Size"], ["Price range", "Price", "Review"]),
    labels(
        ["Kategorie", "Marke", "Farbe", "Material", "Größe"],
        ["Preisklasse", "Preis", "Bewertung"],
    ),
    labels(
        ["Catégorie", "Marque", "Couleur", "Matière", "Taille"],
        ["Gamme de prix", "Prix", "Avis"],
    ),
    labels(
        ["Categoria", "Marca", "Colore", "Materiale", "Misura"],
        ["Fascia di prezzo", "Prezzo", "Recensione"],
    ),
    labels(
        ["Categoría", "Marca", "Color", "Material", "Tamaño"],
        ["Rango de precio", "Precio", "Opinión"],
    ),
];

pub(super) const COLORS: [Words; 14] = [
    ["black", "schwarz", "noir", "nero", "negro"],
    ["white", "weiß", "blanc", "bianco", "blanco"],
    ["red", "rot", "rouge", "rosso", "rojo"],
    ["blue", "blau", "bleu", "blu", "azul"],
    ["green", "grün", "vert", "verde", "verde"],
    ["yellow", "gelb", "jaune", "giallo", "amarillo"],
    ["gray", "grau", "gris", "grigio", "gris"],
    ["brown", "braun", "marron", "marrone", "marrón"],
    ["orange", "orange", "orange", "arancione", "naranja"],
    ["pink", "rosa", "rose", "rosa", "rosado"],
    ["purple", "lila", "violet", "viola", "morado"],
    ["beige", "beige", "beige", "beige", "beis"],
    ["turquoise", "türkis", "turquoise", "turchese", "turquesa"],
    ["silver", "silber", "argent", "argento", "plateado"],
];

const fn material(key: &'static str, percent: u64, names: Words) -> Material {
    Material { key, percent, names }
}

/// With what they do to the price.
pub(super) const MATERIALS: [Material; 14] = [
    material("oak", 130, ["oak", "Eiche", "chêne", "rovere", "roble"]),
    material("bamboo", 85, ["bamboo", "Bambus", "bambou", "bambù", "bambú"]),
    material("steel", 110, ["steel", "Stahl", "acier", "acciaio", "acero"]),
    material("aluminum", 100, ["aluminum", "Aluminium", "aluminium", "alluminio", "aluminio"]),
    material("plastic", 55, ["plastic", "Kunststoff", "plastique", "plastica", "plástico"]),
    material("glass", 105, ["glass", "Glas", "verre", "vetro", "vidrio"]),
    material("ceramic", 95, ["ceramic", "Keramik", "céramique", "ceramica", "cerámica"]),
    material("marble", 190, ["marble", "Marmor", "marbre", "marmo", "mármol"]),
    material("cotton", 80, ["cotton", "Baumwolle", "coton", "cotone", "algodón"]),
    material("linen", 105, ["linen", "Leinen", "lin", "lino", "lino"]),
    material("wool", 125, ["wool", "Wolle", "laine", "lana", "lana"]),
    material("leather", 180, ["leather", "Leder", "cuir", "pelle", "cuero"]),
    material("cork", 75, ["cork", "Kork", "liège", "sughero", "corcho"]),
    material("silicone", 65, ["silicone", "Silikon", "silicone", "silicone", "silicona"]),
];

/// All invented; a row costs as much of the usual price as stands before it.
pub(super) const BRANDS: [(u64, [&str; 10]); 4] = [
    (
        55,
        [
            "Basiko", "Plunto", "Sparwin", "Ezzo", "Homly", "Kwikly", "Tuppo", "Valuno", "Budgo",
            "Mivo",
        ],
    ),
    (
        95,
        [
            "Norvik",
            "Castella",
            "Linden & Co",
            "Ostermark",
            "Familia",
            "Berrin",
            "Halden",
            "Solano",
            "Tamiko",
            "Wellbrook",
        ],
    ),
    (
        165,
        [
            "Arvenna",
            "Brightmoor",
            "Delacour",
            "Fjordholm",
            "Kestrel",
            "Montarra",
            "Rosendal",
            "Silvano",
            "Torvald",
            "Vireo",
        ],
    ),
    (
        290,
        [
            "Aurelian",
            "Chateau Lys",
            "Imperio",
            "Maison Verre",
            "Oro Antico",
            "Palazzi",
            "Regalis",
            "Sterling Row",
            "Valmora",
            "Zephyrine",
        ],
    ),
];

/// Upper ends in euros; above the last is the fourth range.
pub(super) const RANGE_ENDS: [u64; 3] = [20, 50, 120];

pub(super) const RANGES: [[&str; 4]; 5] = [
    ["under 20 EUR", "20 to 50 EUR", "50 to 120 EUR", "over 120 EUR"],
    ["unter 20 EUR", "20 bis 50 EUR", "50 bis 120 EUR", "über 120 EUR"],
    ["moins de 20 EUR", "20 à 50 EUR", "50 à 120 EUR", "plus de 120 EUR"],
    ["meno di 20 EUR", "da 20 a 50 EUR", "da 50 a 120 EUR", "oltre 120 EUR"],
    ["menos de 20 EUR", "de 20 a 50 EUR", "de 50 a 120 EUR", "más de 120 EUR"],
];
