/** What our scripts say, in the languages of `locales/`. */

const WORDS = {
  en: {
    node: "Edit Concepts",
    empty: "Run this node once: its regions then appear here, to be clicked.",
    gone: "The picture of the last run is no longer there; run this node again.",
    help: "Click: drop or restore. Double-click: rename. Shift-click several, then Merge. Your choices are written to the inputs above.",
    merge: "Merge",
    split: "Split",
    reset: "Reset",
    result: "Output: {names}",
    region: "<{name}>, saliency {score}, {area}% of the picture",
    dropped: "dropped",
    into: "becomes <{name}>",
    last: "One concept must stay.",
    name: "Letters, digits, - and _ only, and no name twice.",
    linked: "{input} is linked and cannot be changed here.",
    unknown: "No concept is called {names}. Reset, or change the inputs.",
    failed: "The run failed. The regions are those of the run before; Reset clears the inputs.",
    boxes: "Draw boxes",
    hideBoxes: "Hide boxes",
    unbox: "Delete box",
    remove: "Remove concept",
    boxHelp: "Drag to draw a box. Drag a box to move it, its edge to resize it. Double-click: rename. Delete: remove the box.",
    noBoxes: "Drag here to draw a box for a concept.",
    newConcept: "name of the concept",
    box: "{name}: {width} x {height}% of the picture, from {left}%, {top}%",
    without: "Found by their words: {names}",
    noPlace: "No place: {names}",
    instead: "The input {input} is used instead of these boxes.",
    preset: "preset",
    auto: "auto",
    all: "all",
    off: "off",
  },
  de: {
    node: "Konzepte bearbeiten",
    empty: "Diesen Knoten einmal ausführen: Dann stehen hier die Bereiche zum Anklicken.",
    gone: "Das Bild des letzten Laufs gibt es nicht mehr; den Knoten noch einmal ausführen.",
    help: "Klick: weglassen oder zurückholen. Doppelklick: umbenennen. Mehrere mit Umschalt-Klick wählen, dann Verbinden. Die Auswahl steht in den Eingängen darüber.",
    merge: "Verbinden",
    split: "Trennen",
    reset: "Zurücksetzen",
    result: "Ergebnis: {names}",
    region: "<{name}>, Auffälligkeit {score}, {area} % des Bildes",
    dropped: "weggelassen",
    into: "wird <{name}>",
    last: "Ein Konzept muss bleiben.",
    name: "Nur Buchstaben, Ziffern, - und _, und kein Name zweimal.",
    linked: "{input} ist verbunden und lässt sich hier nicht ändern.",
    unknown: "Kein Konzept heißt {names}. Zurücksetzen oder die Eingänge ändern.",
    failed: "Der Lauf ist gescheitert. Die Bereiche sind die des vorigen; Zurücksetzen leert die Eingänge.",
    boxes: "Kästen zeichnen",
    hideBoxes: "Kästen verbergen",
    unbox: "Kasten löschen",
    remove: "Konzept entfernen",
    boxHelp: "Ziehen: einen Kasten zeichnen. Einen Kasten ziehen: verschieben, seinen Rand: strecken. Doppelklick: umbenennen. Entf: kein Kasten.",
    noBoxes: "Hier ziehen, um einen Kasten für ein Konzept zu zeichnen.",
    newConcept: "Name des Konzepts",
    box: "{name}: {width} x {height} % des Bildes, ab {left} %, {top} %",
    without: "Durch ihre Wörter gefunden: {names}",
    noPlace: "Kein Ort: {names}",
    instead: "Was durch {input} kommt, gilt an Stelle dieser Kästen.",
    preset: "Vorgabe",
    auto: "automatisch",
    all: "alle",
    off: "aus",
  },
  fr: {
    node: "Modifier les concepts",
    empty: "Exécutez ce nœud une fois : ses régions apparaîtront ici, à cliquer.",
    gone: "L'image de la dernière exécution n'existe plus ; exécutez de nouveau ce nœud.",
    help: "Clic : écarter ou reprendre. Double clic : renommer. Maj-clic sur plusieurs, puis Réunir. Tout est inscrit dans les entrées ci-dessus.",
    merge: "Réunir",
    split: "Séparer",
    reset: "Réinitialiser",
    result: "Il en sort : {names}",
    region: "<{name}>, saillance {score}, {area} % de l'image",
    dropped: "écarté",
    into: "devient <{name}>",
    last: "Il doit rester un concept.",
    name: "Lettres, chiffres, - et _ seulement, et aucun nom deux fois.",
    linked: "{input} vient d'un lien et ne peut être changé ici.",
    unknown: "Aucun concept ne s'appelle {names}. Réinitialisez, ou changez les entrées.",
    failed: "L'exécution a échoué. Les régions sont celles de la précédente ; Réinitialiser vide les entrées.",
    boxes: "Dessiner des cadres",
    hideBoxes: "Masquer les cadres",
    unbox: "Effacer le cadre",
    remove: "Retirer le concept",
    boxHelp: "Glissez pour dessiner un cadre. Glissez un cadre pour le déplacer, son bord pour l'étirer. Double clic : renommer. Suppr : pas de cadre.",
    noBoxes: "Glissez ici pour dessiner le cadre d'un concept.",
    newConcept: "nom du concept",
    box: "{name} : {width} x {height} % de l'image, depuis {left} %, {top} %",
    without: "Trouvés par leurs mots : {names}",
    noPlace: "Aucun lieu : {names}",
    instead: "Ce qui vient par {input} est utilisé à la place de ces cadres.",
    preset: "préréglé",
    auto: "auto",
    all: "tous",
    off: "non",
  },
};

/**
 * The language that the page shows nodes in. Its setting does not tell: a page without German takes "de" and shows
 * English.
 */
function words() {
  const { title } = window.LiteGraph?.registered_node_types?.ConceptAtelierEditConcepts ?? {};
  return Object.values(WORDS).find((one) => one.node === title) ?? WORDS.en;
}

/** A text in the language of the page's nodes, with its `{parts}` filled in. */
export function say(key, parts = {}) {
  return words()[key].replace(/\{(\w+)\}/g, (_, part) => parts[part] ?? "");
}

/** The languages, for a test that none lacks a text. */
export const languages = () => Object.entries(WORDS).map(([name, words]) => [name, Object.keys(words)]);
