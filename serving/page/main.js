// The page: the list of models, the notice, and a place for each kind of models.

import { ApiError, hasToken, listModels, setToken } from "./api.js";
import * as images from "./images.js";
import * as texts from "./texts.js";

// Milliseconds until the page asks for the list of models again:
const REFRESH = 5000; // after a success,
const REFRESH_FAILED = 1000; // after a failure,
const REFRESH_GONE = 200; // after a version that was asked is gone.

const PLACE = "place"; // The key of the user's choice in the tab's storage.

let refreshing; // A timer.
let known = ""; // The models, as text.
let wasAway = false; // Whether the server or the token was missing since the last refresh.

const at = (id) => document.getElementById(id);

// Exported so that tests can draw.
export { drawing } from "./images.js";

/** Ask for the list of models, again and again. */
async function refresh() {
  clearTimeout(refreshing);
  let wait = REFRESH;
  try {
    const { models, min_probability: minProbability } = await listModels();
    notice(models.length ? "" : "The server has no models yet.");
    // Change the pickers only if the models have changed, because a change closes an open picker.
    if (JSON.stringify(models) !== known) {
      known = JSON.stringify(models);
      setModels(models);
    }
    // After a restart the server may have other weights under the same names.
    images.refresh(minProbability ?? 0, wasAway);
    texts.refresh(wasAway);
    wasAway = false;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    onError(error);
    wait = REFRESH_FAILED;
  }
  refreshIn(wait);
}

/** Give each place its models, and show tabs if there are models of both kinds. */
function setModels(models) {
  const readsText = ({ versions }) => versions.some((version) => version.reads_text);
  const ofText = models.filter(readsText);
  const others = models.filter((model) => !readsText(model));
  images.setModels(others);
  texts.setModels(ofText);
  const hasBoth = ofText.length > 0 && others.length > 0;
  at("places").hidden = !hasBoth;
  const chosen = sessionStorage.getItem(PLACE) ?? "images";
  show(hasBoth ? chosen : ofText.length ? "texts" : "images");
}

/** Show one place: `images` or `texts`. */
function show(place) {
  for (const part of document.querySelectorAll("[data-place]")) {
    part.hidden = part.dataset.place !== place;
  }
  for (const tab of at("places").children) tab.ariaPressed = tab.value === place;
  document.title = document.querySelector(`header [data-place="${place}"] h1`).textContent;
  texts.show(place === "texts");
}

function refreshIn(milliseconds) {
  clearTimeout(refreshing);
  refreshing = setTimeout(refresh, milliseconds);
}

function onError(error) {
  wasAway ||= [0, 401].includes(error.status);
  if (error.status === 401) {
    const problem = hasToken() ? "The server refuses this token." : "The server asks for a token.";
    notice(`${problem} It says: ${error.message}`, true);
  } else if (error.status === 0) {
    notice("The server does not answer. The page asks again every second.");
    refreshIn(REFRESH_FAILED);
  } else if (error.status === 404) {
    refreshIn(REFRESH_GONE);
  }
}

function notice(text, wantsToken = false) {
  const box = at("notice");
  const form = at("token");
  if (box.firstElementChild.textContent !== text) box.firstElementChild.textContent = text;
  if (form.hidden === wantsToken) form.hidden = !wantsToken;
  box.hidden = !text;
}

at("token").addEventListener("submit", (event) => {
  event.preventDefault();
  const [input] = event.target.elements;
  setToken(input.value);
  input.value = "";
  refresh();
});
at("places").addEventListener("click", ({ target }) => {
  if (!target.value) return;
  sessionStorage.setItem(PLACE, target.value);
  show(target.value);
});

// A hidden page sends no requests.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(refreshing);
  else refresh();
});

images.start(onError);
texts.start(onError);
refresh();
