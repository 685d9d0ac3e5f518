"""Words that pictures are often described by, for names where nobody lists others."""

_LISTS = (
    "person woman man child face eyes hair hand body crowd dog cat bird horse fish insect animal monster robot",
    "tree flower grass forest leaf mountain rock water sea river lake beach sky cloud sunset moon star fire smoke",
    "snow rain fog desert field garden city street road bridge house building window door wall roof tower room",
    "furniture chair table lamp book food fruit cake drink glass bottle car train boat airplane bicycle machine",
    "weapon sword armor dress suit hat shoes jewelry mask text letters logo frame border shadow light reflection",
    "pattern stripes dots grid wood metal stone fabric leather fur skin plastic paper photograph painting drawing",
    "sketch watercolor anime cartoon engraving sculpture collage graffiti mosaic outline silhouette texture blur",
    "grain neon gold silver red orange yellow green blue purple pink brown black white gray pastel dark bright",
)
COMMON_WORDS: tuple[str, ...] = tuple(" ".join(_LISTS).split())
