"use strict";
const form = document.getElementById("ask");
const answers = document.getElementById("answers");
const words = document.body.dataset;

function line(parent, tag, text, name) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  parent.append(element);
  return element;
}

function show(texts, result) {
  answers.replaceChildren();
  line(answers, "p", `${result.model} @ ${result.version}`, "muted");
  for (const row of result.data) {
    const box = line(answers, "div", "", "answer");
    line(box, "p", texts[row.index]);
    if (row.labels.length === 0) line(box, "p", words.none, "muted");
    if (row.truncated) line(box, "p", words.cut, "muted");
    for (const found of row.labels) {
      const bar = line(box, "div", "", "row");
      line(bar, "span", found.label);
      const meter = line(bar, "meter", "");
      meter.max = 1;
      meter.value = found.score;
      meter.setAttribute("aria-label", found.label);
      line(bar, "span", found.score.toFixed(3));
    }
  }
}

function fail(sentence) {
  answers.replaceChildren();
  line(answers, "p", sentence, "fail");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const texts = form.elements.texts.value.split("\n").filter((text) => text.trim());
  const body = { inputs: texts };
  if (form.elements.threshold.value) body.threshold = Number(form.elements.threshold.value);
  if (form.elements.model && form.elements.model.value) body.model = form.elements.model.value;
  try {
    const response = await fetch("v1/classify", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const result = await response.json();
    if (response.ok) show(texts, result);
    else fail(result.error);
  } catch (error) {
    fail(words.failed);
  }
});
