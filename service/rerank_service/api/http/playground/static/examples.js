// Examples: the page ranks the first one when it opens.

import { defaultSettings } from "./state.js";

const MANUAL = [
  "Welcome to your new bicycle. This manual describes the parts of the bicycle, the first ride and the care of the bicycle over the year. Read it before the first ride and keep it in a safe place. The pictures in this manual may differ from your bicycle in small details.",
  "Before the first ride, set the height of the saddle so that your leg is almost straight at the lowest point of the pedal. Turn the handlebar until it is at a right angle to the front wheel, and tighten both screws of the stem. Check that the quick releases of both wheels are closed. Squeeze the brake levers: they must not touch the handlebar. A dealer can help you with all of these steps.",
  "The lights switch on with the button on the display. The front light has two levels of brightness. The rear light becomes brighter when you brake. Clean the glass of both lights with a soft cloth and clear water. The lights do not work without a battery in the bicycle.",
  "The gears are shifted with the right hand. Pedal lightly while you shift. If the chain jumps between two gears, turn the small screw at the end of the cable by half a turn to the left. A new cable becomes longer in the first weeks, so a dealer should adjust the gears after 300 kilometres.",
  "Clean the chain with a dry cloth every 200 kilometres and after each ride in the rain. Put one drop of oil on each link, turn the pedals backwards for one minute, then wipe off what you can see. Too much oil collects sand and wears out the chain. A worn chain is longer than a new one: a dealer can measure this in one minute.",
  "The tyres have the allowed pressure on their side. Low pressure is comfortable and slow, high pressure is fast and hard. Check the pressure once a month with your thumb, and with a pump twice a year. Replace a tyre when you can see the fabric below the rubber or when the profile is gone.",
  "If you do not ride for several weeks in the cold season, take the battery out of the frame. Charge it to about half, and keep it indoors in a dry room at ten to twenty degrees. Check the charge every two months, because an empty battery ages quickly. Never leave it in a shed where it freezes.",
  "The display shows the speed, the distance and the level of support. Hold the upper button for two seconds to set the distance back. The display has a small battery of its own, which a dealer replaces every two years. Do not open the display: water would come in and the warranty would end.",
  "The frame is made of aluminium. Look at it twice a year for small cracks, above all near the welds. Small scratches are no danger. Wash the bicycle with water, a sponge and mild soap. Never use a pressure washer, because water would be pushed into the bearings and the motor.",
  "The warranty covers two years. It does not cover parts that wear out, such as chain, brake pads and tyres. Keep the invoice, and bring the bicycle to a dealer for the first inspection after 300 kilometres. Later inspections are due once a year. You find the nearest dealer on our page.",
].join(" ");

/** @type {{name: string, state: () => import("./state.js").State}[]} */
export const EXAMPLES = [
  {
    name: "Help pages, one of them long",
    state: () => ({
      ...example("How do I keep my e-bike battery over the winter?", "lines", [
        "The winter sale of e-bikes starts in January. All models of last year are reduced by 20 percent.",
        "A battery takes about four hours to charge. Use the charger that came with your e-bike, and no other one.",
        MANUAL,
        "To pair the display with your phone, hold the lower button for five seconds and open the app.",
        "Store the battery of your e-bike indoors in winter, in a dry place at room temperature, charged to between 30 and 60 percent.",
        "Brake pads wear out faster on wet winter roads. Have them checked by a dealer every 1,000 kilometres.",
      ]),
      columns: [{ ...defaultSettings(), highlights: 1 }, { ...defaultSettings(), highlights: 1, scoreType: "raw" }],
    }),
  },
  {
    name: "Capitals (Cohere's example)",
    state: () =>
      example("What is the capital of the United States?", "lines", [
        "Carson City is the capital city of the American state of Nevada.",
        "The Commonwealth of the Northern Mariana Islands is a group of islands in the Pacific Ocean. Its capital is Saipan.",
        "Washington, D.C. (also known as simply Washington or D.C., and officially as the District of Columbia) is the capital of the United States. It is a federal district.",
        "Capitalization or capitalisation in English grammar is the use of a capital letter at the start of a word. English usage varies from capitalization in other languages.",
        "Capital punishment (the death penalty) has existed in the United States since before the United States was a country. As of 2017, capital punishment is legal in 30 of the 50 states.",
      ]),
  },
  {
    name: "Products with fields",
    state: () =>
      example("light waterproof jacket for cycling", "json", [
        { title: "Down parka", description: "Very warm coat for cold winter days. Not waterproof.", price: 249 },
        { title: "Rain jacket Drizzle", description: "Waterproof and light, with a long back for cyclists.", price: 99 },
        { title: "Cycling gloves", description: "Padded gloves with open fingers.", price: 25 },
        { title: "Fleece jacket", description: "Soft jacket for hiking. Dries fast.", price: 59 },
      ]),
  },
];

/**
 * @param {string} query
 * @param {import("./documents/parse.js").Format} format
 * @param {import("./documents/parse.js").Sent[]} documents
 * @returns {import("./state.js").State}
 */
function example(query, format, documents) {
  const text = format === "json" ? JSON.stringify(documents, null, 2) : documents.join("\n");
  return { query, text, format, field: "", view: "one", columns: [defaultSettings(), defaultSettings()] };
}
