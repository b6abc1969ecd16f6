// The step that the panels show: a slider, and a button that plays the steps.

const SECONDS = 5; // For all steps together, for any number of steps.

export class Player {
  #parts;
  #onStep;
  #word = "row";
  #playing = null;

  /**
   * @param {HTMLElement} root
   * @param {(step: number, steps: number) => void} onStep - Called with the step, counted from 1.
   */
  constructor(root, onStep) {
    const find = (name) => root.querySelector(`.${name}`);
    this.#parts = { slider: find("slider"), play: find("play"), position: find("position") };
    this.#onStep = onStep;
    this.#parts.slider.addEventListener("input", () => this.go(this.step));
    this.#parts.play.addEventListener("click", () => this.toggle());
    find("previous").addEventListener("click", () => this.move(-1));
    find("next").addEventListener("click", () => this.move(1));
    this.#show();
  }

  get step() {
    return Number(this.#parts.slider.value);
  }

  get steps() {
    return Number(this.#parts.slider.max);
  }

  /** Set the number of steps, and the word for a step. */
  setSteps(steps, word) {
    const step = Math.ceil((this.step * steps) / this.steps);
    this.#word = word;
    this.#parts.slider.max = steps;
    this.#set(step);
  }

  /** Show a step. */
  go(step) {
    this.stop();
    this.#set(step);
  }

  move(by) {
    this.go(this.step + by);
  }

  /** Play from this step, or from the first if this is the last. While it plays: stop. */
  toggle() {
    if (this.#playing !== null) return this.stop();
    const from = this.step === this.steps ? 1 : this.step;
    const begun = performance.now();
    const perStep = (SECONDS * 1000) / this.steps;
    const tick = (now) => {
      this.#set(from + Math.max(0, Math.floor((now - begun) / perStep)));
      if (this.step === this.steps) return this.stop();
      this.#playing = requestAnimationFrame(tick);
    };
    this.#playing = requestAnimationFrame(tick);
    this.#set(from);
  }

  stop() {
    cancelAnimationFrame(this.#playing);
    this.#playing = null;
    this.#show();
  }

  #set(step) {
    this.#parts.slider.value = step; // The slider clips it to 1 and the last step.
    this.#show();
    this.#onStep(this.step, this.steps);
  }

  #show() {
    const { slider, play, position } = this.#parts;
    position.textContent = `${this.#word} ${this.step} of ${this.steps}`;
    slider.ariaValueText = position.textContent;
    const isPlaying = this.#playing !== null;
    play.firstElementChild.textContent = isPlaying ? "❚❚" : "▶";
    play.lastElementChild.textContent = isPlaying ? "Pause" : "Play";
  }
}
