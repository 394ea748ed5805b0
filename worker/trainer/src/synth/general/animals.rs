//! What general.jsonl knows about animals.

pub(super) struct Animal {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) habitat: &'static str,
    pub(super) diet: &'static str,
    pub(super) quality: &'static str,
    pub(super) sound: &'static str,
}

impl Animal {
    pub(super) fn legs(&self) -> &'static str {
        match self.kind {
            "bird" => "two",
            "insect" => "six",
            "fish" => "no",
            _ => "four",
        }
    }

    pub(super) fn skin(&self) -> &'static str {
        match self.kind {
            "bird" => "feathers",
            "insect" => "wings",
            "fish" => "scales",
            "reptile" => "a dry skin",
            _ => "a coat of hair",
        }
    }
}

const fn animal(
    name: &'static str,
    kind: &'static str,
    habitat: &'static str,
    diet: &'static str,
    looks: (&'static str, &'static str),
) -> Animal {
    Animal { name, kind, habitat, diet, quality: looks.0, sound: looks.1 }
}

pub(super) const ANIMALS: [Animal; 32] = [
    animal("fox", "mammal", "the forest", "mice and berries", ("quick and shy", "bark")),
    animal("wolf", "mammal", "the mountains", "deer", ("strong and patient", "howl")),
    animal("bear", "mammal", "the deep forest", "roots, fish and honey", ("heavy", "growl")),
    animal("horse", "mammal", "the meadow", "grass and oats", ("fast", "neigh")),
    animal("cow", "mammal", "the meadow", "grass", ("calm", "moo")),
    animal("sheep", "mammal", "the hills", "grass", ("gentle", "bleat")),
    animal("goat", "mammal", "the rocks", "leaves and thorns", ("stubborn", "bleat")),
    animal("hare", "mammal", "the fields", "clover", ("very fast", "drum")),
    animal("badger", "mammal", "a hole in the wood", "worms", ("gray and slow", "grunt")),
    animal("otter", "mammal", "the river", "fish", ("playful", "whistle")),
    animal("beaver", "mammal", "the stream", "bark", ("busy", "slap the water")),
    animal("mouse", "mammal", "the barn", "grain", ("tiny", "squeak")),
    animal("hedgehog", "mammal", "the garden", "snails", ("prickly", "snuffle")),
    animal("deer", "mammal", "the clearing", "young leaves", ("shy", "call")),
    animal("owl", "bird", "the old tower", "mice", ("awake at night", "hoot")),
    animal("eagle", "bird", "the high cliffs", "hares", ("sharp of eye", "scream")),
    animal("goose", "bird", "the pond", "grass", ("loud", "cackle")),
    animal("swan", "bird", "the lake", "water plants", ("white and proud", "hiss")),
    animal("crow", "bird", "the town", "almost anything", ("black and clever", "caw")),
    animal("stork", "bird", "the chimney", "frogs", ("tall", "clatter")),
    animal("robin", "bird", "the hedge", "worms and seeds", ("small and bold", "sing")),
    animal("duck", "bird", "the reeds", "weeds and snails", ("round", "quack")),
    animal("hen", "bird", "the yard", "corn", ("useful", "cluck")),
    animal("trout", "fish", "the cold stream", "flies", ("spotted", "splash")),
    animal("pike", "fish", "the lake", "smaller fish", ("long and greedy", "splash")),
    animal("carp", "fish", "the mill pond", "mud and plants", ("old and fat", "splash")),
    animal("lizard", "reptile", "the warm wall", "spiders", ("green", "rustle")),
    animal("turtle", "reptile", "the pond", "leaves", ("slow and old", "hiss")),
    animal("bee", "insect", "the hive", "nectar", ("busy", "hum")),
    animal("cricket", "insect", "the grass", "leaves", ("hard to see", "chirp")),
    animal("wasp", "insect", "the roof", "fruit and meat", ("angry", "buzz")),
    animal("beetle", "insect", "the dead wood", "wood", ("shiny", "tick")),
];
