// The page of an exported network: a sound from a file, a built-in scene or the microphone, and its class.
//
// page.json has the facts about the network; model.onnx takes samples (1, channel, sample) at the rate of its front end
// and gives probabilities. onnxruntime-web runs it in a worker, so that the page answers while it computes.

import * as ort from "./runtime/ort.js";

const TRANSFORM = 2048; // samples of a column of the spectrogram
const DEPTH = 80; // dB between the brightest and the darkest colour
const HOP = 1; // seconds between two answers to the microphone
const KEPT = 120; // answers to the microphone in the time line
const WAVE_COLOUR = "#2f8fd0"; // on light and on dark

// Eleven colours of matplotlib's magma, evenly spaced: the spectrograms of the report have the same.
const MAGMA = [
  [0, 0, 4], [21, 14, 56], [59, 15, 112], [101, 26, 128], [140, 41, 129], [183, 55, 121], [222, 73, 104],
  [247, 112, 92], [254, 159, 109], [254, 207, 146], [252, 253, 191],
];

const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));

let model; // facts from page.json
let session; // the network
let job = 0; // number of the newest sound: an older one that is still computed stops
let recording = null; // the microphone, while it is used
let segments = []; // of the time line

// A fault whose message is written for the reader of the page.
class Fault extends Error {}

// ---------------------------------------------------------------- start

async function start() {
  if (typeof WebAssembly !== "object") {
    throw new Fault("This browser has no WebAssembly, which runs the network. Firefox, Chromium, Edge and Safari have it.");
  }
  say("Loading the network …");
  model = await (await get("page.json")).json();
  showFacts();
  ort.env.wasm.numThreads = 1; // more threads need headers that a plain static host does not send
  ort.env.wasm.proxy = true; // in a worker
  ort.env.wasm.wasmBinary = await (await get("runtime/ort.wasm")).arrayBuffer();
  const network = await (await get("model.onnx")).arrayBuffer();
  try {
    session = await ort.InferenceSession.create(network, { executionProviders: ["wasm"] });
  } catch (error) {
    throw new Fault(`This browser cannot run the network: ${error.message}`);
  }
  connectControls();
  say("Ready.");
}

async function get(address) {
  let answer;
  try {
    answer = await fetch(address);
  } catch {
    throw new Fault(`${address} cannot be loaded: the server does not answer.`);
  }
  if (!answer.ok) throw new Fault(`${address} cannot be loaded: the server answers ${answer.status}.`);
  return answer;
}

function connectControls() {
  page.file.disabled = false;
  page.microphone.disabled = false;
  page.file.addEventListener("change", () => {
    const [file] = page.file.files;
    page.file.value = ""; // the same file can be chosen again
    if (file) guard(() => hearFile(file));
  });
  page.microphone.addEventListener("click", () => guard(recording ? stopMicrophone : useMicrophone));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    page.drop.classList.add("over");
  });
  document.addEventListener("dragleave", () => page.drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    page.drop.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) guard(() => hearFile(file));
  });
  for (const clip of model.clips) {
    const button = add(add(page["clip-list"], "li"), "button", readable(clip.label));
    button.type = "button";
    button.addEventListener("click", () => guard(() => hearClip(clip)));
  }
  page.clips.hidden = !model.clips.length;
}

// Run a function and show its fault, if it has one, in words.
async function guard(action) {
  try {
    await action();
  } catch (error) {
    page.result.setAttribute("aria-busy", "false");
    if (!(error instanceof Fault)) console.error(error);
    say(error instanceof Fault ? error.message : `Something went wrong: ${error.message}`, true);
  }
}

// ---------------------------------------------------------------- sounds

async function hearFile(file) {
  await hear(await file.arrayBuffer(), file.name, file);
}

async function hearClip(clip) {
  const bytes = await (await get(clip.file)).arrayBuffer();
  await hear(bytes, `Built-in scene, ${readable(clip.label)}`, clip.file, true);
}

// Classify a sound clip by clip, as `asc-mrkd predict` does it, and show the mean of the probabilities. The player takes
// it from a file or an address.
async function hear(bytes, name, source, plays = false) {
  if (recording) await stopMicrophone();
  const own = ++job;
  say(`Reading ${name} …`);
  const samples = await decode(bytes, name);
  if (own !== job) return;
  URL.revokeObjectURL(page.player.src); // a file is kept in memory as long as it has an address
  page.player.src = source instanceof Blob ? URL.createObjectURL(source) : source;
  if (plays) page.player.play().catch(() => {}); // some browsers play only after another click
  const count = samples[0].length;
  const seconds = count / model.sample_rate;
  showSource(`${name}, ${formatTime(seconds)}`, seconds);
  page.player.hidden = false;
  drawSound(samples, model.sample_rate);
  const decisions = [];
  const total = model.classes.map(() => 0);
  const meanSoFar = () => total.map((sum) => sum / decisions.length);
  const fitted = fitToClip(samples);
  const starts = clipStarts(fitted[0].length);
  page.result.setAttribute("aria-busy", "true");
  clearTimeLine();
  for (const begin of starts) {
    if (starts.length > 1) say(`Listening to clip ${decisions.length + 1} of ${starts.length} …`);
    const answer = await classify(cutClip(fitted, begin));
    if (own !== job) return;
    const end = Math.min(begin + model.samples, count);
    const decision = { ...answer, begin: begin / model.sample_rate, end: end / model.sample_rate };
    decisions.push(decision);
    answer.probabilities.forEach((value, index) => (total[index] += value));
    showBars(meanSoFar(), decisions.length > 1 ? "Mean of all clips" : "");
    extendTimeLine(decision);
  }
  showAnswer(meanSoFar());
  showLatency(decisions);
  say(lengthCaution(seconds));
  page.result.setAttribute("aria-busy", "false");
}

// Return the samples of a file, one array per channel of the network, at its rate.
async function decode(bytes, name) {
  const context = new OfflineAudioContext(1, 1, model.sample_rate);
  let audio;
  try {
    audio = await context.decodeAudioData(bytes);
  } catch {
    throw new Fault(`${name} is not a sound that this browser can read. WAV, MP3, Ogg and M4A files usually work.`);
  }
  const channels = Array.from({ length: audio.numberOfChannels }, (_, index) => audio.getChannelData(index));
  if (isSilent(channels)) throw new Fault(`${name} is silent: there is nothing to hear.`);
  return matchChannels(channels, name);
}

function isSilent(channels) {
  return channels.every((channel) => channel.every((value) => value === 0));
}

// One channel is copied to all, several become mono as their mean, and of too many the first are kept.
function matchChannels(channels, name) {
  const wanted = model.channels;
  if (channels.length === 1) return Array(wanted).fill(channels[0]);
  if (wanted === 1) return [mean(channels)];
  if (channels.length < wanted) {
    throw new Fault(`${name} has ${channels.length} channels, and the network was trained on ${wanted}.`);
  }
  return channels.slice(0, wanted);
}

// Largest difference (s) from the length of a clip; the last summand is the error of a difference.
function lengthTolerance() {
  return Math.max(model.pad_or_trim, 1e-4) + 1e-9;
}

// A recording that is nearly as long as a clip is filled with zeros, or its end is cut off.
function fitToClip(channels) {
  const difference = Math.abs(channels[0].length / model.sample_rate - model.clip_seconds);
  if (difference > lengthTolerance()) return channels;
  return channels.map((channel) => {
    const fitted = new Float32Array(model.samples);
    fitted.set(channel.subarray(0, model.samples));
    return fitted;
  });
}

// Return the first samples of clips that cover everything; the last clip ends at the end.
function clipStarts(count) {
  if (count <= model.samples) return [0];
  const starts = [];
  for (let begin = 0; begin + model.samples <= count; begin += model.samples) starts.push(begin);
  if (starts.at(-1) + model.samples < count) starts.push(count - model.samples);
  return starts;
}

// Return one clip, channel after channel; a shorter recording is repeated.
function cutClip(channels, begin) {
  const clip = new Float32Array(model.channels * model.samples);
  channels.forEach((channel, row) => {
    for (let index = 0; index < model.samples; index++) {
      clip[row * model.samples + index] = channel[(begin + index) % channel.length];
    }
  });
  return clip;
}

async function classify(clip) {
  const input = new ort.Tensor("float32", clip, [1, model.channels, model.samples]);
  const began = performance.now();
  const { probabilities } = await session.run({ samples: input });
  return { probabilities: Array.from(probabilities.data), milliseconds: performance.now() - began };
}

function lengthCaution(seconds) {
  if (model.clip_seconds - seconds <= lengthTolerance()) return "";
  return `The sound lasts ${seconds.toFixed(1)} s and was repeated up to the ${model.clip_seconds} s of the network.`;
}

// ---------------------------------------------------------------- microphone

async function useMicrophone() {
  const own = ++job;
  if (!navigator.mediaDevices) {
    throw new Fault("Browsers give the microphone only to pages on https:// or localhost.");
  }
  page.microphone.disabled = true; // a second click would open it twice
  let opened;
  try {
    opened = await openRecorder();
  } finally {
    page.microphone.disabled = false;
  }
  if (own !== job) { // another sound was chosen meanwhile
    await closeRecorder(opened);
    return;
  }
  const { stream, context, node } = opened;
  const length = Math.round(model.clip_seconds * context.sampleRate);
  recording = { stream, context, rate: context.sampleRate, ring: [], length, count: 0, decided: 0, decisions: [] };
  node.port.onmessage = (event) => keepBlock(recording, event.data);
  page.microphone.classList.add("active");
  page.microphone.textContent = "Stop the microphone";
  page.player.pause();
  page.player.hidden = true;
  page.answer.textContent = "";
  page.result.setAttribute("aria-busy", "false");
  page.latency.textContent = "";
  clearTimeLine();
  showBars(model.classes.map(() => 0), "");
  showSource("Microphone", model.clip_seconds);
  page["scale-start"].textContent = `${model.clip_seconds} s ago`;
  page["scale-end"].textContent = "now";
  startPictures(recording);
  guard(() => decide(own));
}

async function openRecorder() {
  const stream = await openMicrophone();
  const context = new AudioContext();
  try {
    await context.audioWorklet.addModule("recorder.js");
    const node = new AudioWorkletNode(context, "recorder");
    context.createMediaStreamSource(stream).connect(node).connect(context.destination); // the node itself is silent
    return { stream, context, node };
  } catch (error) {
    await closeRecorder({ stream, context });
    throw error;
  }
}

async function closeRecorder({ stream, context }) {
  stream.getTracks().forEach((track) => track.stop());
  await context.close();
}

async function openMicrophone() {
  const audio = {
    channelCount: { ideal: model.channels },
    echoCancellation: false,
    noiseSuppression: false,
    autoGainControl: false,
  };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    if (error.name === "NotAllowedError") {
      throw new Fault("The microphone was refused. Allow it for this page in the settings of the browser, or choose a file.");
    }
    if (error.name === "NotFoundError") throw new Fault("There is no microphone on this computer. Choose a file.");
    throw new Fault(`The microphone cannot be used: ${error.message}`);
  }
}

async function stopMicrophone() {
  job++;
  const stopped = recording;
  recording = null;
  page.microphone.classList.remove("active");
  page.microphone.textContent = "Use the microphone";
  page.result.setAttribute("aria-busy", "false");
  say("The microphone is off.");
  await closeRecorder(stopped);
}

// Keep the newest samples, one clip of them.
function keepBlock(source, block) {
  if (!source) return;
  if (source.ring.length !== block.length) { // the number of channels has changed: hear a whole clip of them first
    source.ring = block.map(() => new Float32Array(source.length));
    Object.assign(source, { count: 0, decided: 0, decisions: [] });
  }
  const size = Math.min(block[0].length, source.length); // a clip may be shorter than a block
  source.ring.forEach((channel, row) => {
    channel.copyWithin(0, size);
    channel.set(block[row].subarray(-size), source.length - size);
  });
  source.count += block[0].length;
}

// Answer once a second while this microphone is used; the first answer needs a whole clip.
async function decide(own) {
  const source = recording;
  while (own === job) {
    const missing = (source.length - source.count) / source.rate;
    const waiting = source.decided + HOP * source.rate - source.count;
    if (missing > 0) say(`Listening: the first answer comes in ${Math.ceil(missing)} s.`);
    if (missing > 0 || waiting > 0) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      continue;
    }
    source.decided = source.count;
    await decideOnce(own, source);
  }
}

async function decideOnce(own, source) {
  const end = source.count / source.rate;
  if (isSilent(source.ring)) {
    say("The microphone is silent. Is it switched off?");
    return;
  }
  const channels = await resample(source.ring.map((channel) => channel.slice()), source.rate);
  const answer = await classify(cutClip(matchChannels(channels, "The microphone"), 0));
  if (own !== job) return;
  source.decisions.push({ ...answer, begin: Math.max(0, end - HOP), end });
  source.decisions = source.decisions.slice(-KEPT);
  say("Listening.");
  showBars(answer.probabilities, `The last ${model.clip_seconds} s`);
  showAnswer(answer.probabilities);
  clearTimeLine();
  source.decisions.forEach(extendTimeLine);
  showLatency(source.decisions);
}

async function resample(channels, rate) {
  const context = new OfflineAudioContext(channels.length, model.samples, model.sample_rate);
  const buffer = context.createBuffer(channels.length, channels[0].length, rate);
  channels.forEach((channel, index) => buffer.copyToChannel(channel, index));
  const source = context.createBufferSource();
  source.buffer = buffer;
  source.connect(context.destination);
  source.start();
  const rendered = await context.startRendering();
  return channels.map((_, index) => rendered.getChannelData(index));
}

// ---------------------------------------------------------------- pictures

const wave = page.waveform.getContext("2d");
const spectrum = page.spectrogram.getContext("2d");
const columns = page.waveform.width;
const rows = page.spectrogram.height;

// Draw a whole sound.
function drawSound(channels, rate) {
  const mono = mean(channels);
  const step = mono.length / columns;
  const levels = [];
  const peak = peakOf(mono);
  wave.clearRect(0, 0, columns, page.waveform.height);
  for (let column = 0; column < columns; column++) {
    const begin = Math.floor(column * step);
    drawWave(column, mono.subarray(begin, Math.max(begin + 1, Math.floor((column + 1) * step))), peak);
    levels.push(melLevels(mono, Math.round((column + 0.5) * step) - TRANSFORM / 2, rate));
  }
  const loudest = levels.reduce((most, column) => Math.max(most, ...column), -Infinity);
  levels.forEach((column, index) => drawColumn(index, column, loudest));
}

// Let both pictures roll while the microphone is used: the newest sound is on the right.
function startPictures(source) {
  const step = source.length / columns;
  let drawn = 0; // columns since the start
  let loudest = -30; // dB
  let peak = 0.01;
  wave.clearRect(0, 0, columns, page.waveform.height);
  spectrum.clearRect(0, 0, columns, rows);
  function roll() {
    if (recording !== source) return;
    const heard = Math.floor(source.count / step);
    if (heard < drawn) drawn = 0; // the count began again, with another number of channels
    const fresh = Math.min(columns, heard - drawn);
    if (fresh > 0 && source.ring.length) {
      const tail = Math.max(0, Math.floor(source.length - fresh * step) - TRANSFORM);
      const mono = mean(source.ring.map((channel) => channel.subarray(tail)));
      drawn = heard;
      shift(wave, fresh);
      shift(spectrum, fresh);
      for (let column = columns - fresh; column < columns; column++) {
        const begin = Math.floor(column * step) - tail;
        const samples = mono.subarray(begin, Math.ceil(begin + step));
        peak = Math.max(0.999 * peak, peakOf(samples)); // a loud moment is forgotten slowly
        drawWave(column, samples, peak);
        const levels = melLevels(mono, Math.min(begin, mono.length - TRANSFORM), source.rate);
        loudest = Math.max(loudest - 0.02, ...levels);
        drawColumn(column, levels, loudest);
      }
    }
    requestAnimationFrame(roll);
  }
  roll();
}

function shift(context, distance) {
  const { width, height } = context.canvas;
  context.globalCompositeOperation = "copy";
  context.drawImage(context.canvas, distance, 0, width - distance, height, 0, 0, width - distance, height);
  context.globalCompositeOperation = "source-over";
}

function peakOf(samples) {
  return samples.reduce((peak, value) => Math.max(peak, Math.abs(value)), 1e-6);
}

// Draw the extremes of some samples; the peak fills the height.
function drawWave(column, samples, peak) {
  const height = page.waveform.height;
  let lowest = 0;
  let highest = 0;
  for (const value of samples) {
    lowest = Math.min(lowest, value);
    highest = Math.max(highest, value);
  }
  const top = (0.5 - (0.5 * highest) / peak) * height;
  wave.fillStyle = WAVE_COLOUR;
  wave.fillRect(column, top, 1, Math.max(1, ((0.5 * (highest - lowest)) / peak) * height));
}

function drawColumn(column, levels, loudest) {
  const picture = spectrum.createImageData(1, rows);
  levels.forEach((level, row) => {
    const place = (MAGMA.length - 1) * Math.min(1, Math.max(0, 1 + (level - loudest) / DEPTH));
    const lower = MAGMA[Math.floor(place)];
    const upper = MAGMA[Math.ceil(place)];
    const offset = 4 * (rows - 1 - row);
    for (let part = 0; part < 3; part++) {
      picture.data[offset + part] = lower[part] + (upper[part] - lower[part]) * (place % 1);
    }
    picture.data[offset + 3] = 255;
  });
  spectrum.putImageData(picture, column, 0);
}

// Return the level (dB) of each row, from fmin to fmax of the front end in equal steps of mel.
function melLevels(mono, begin, rate) {
  const real = new Float64Array(TRANSFORM);
  const imaginary = new Float64Array(TRANSFORM);
  for (let index = 0; index < TRANSFORM; index++) {
    const window = 0.5 - 0.5 * Math.cos((2 * Math.PI * index) / TRANSFORM);
    real[index] = window * (mono[begin + index] ?? 0);
  }
  transform(real, imaginary);
  const lowest = toMel(model.fmin);
  const span = toMel(model.fmax) - lowest;
  const bin = (row) => (toHertz(lowest + (span * row) / rows) * TRANSFORM) / rate;
  return Array.from({ length: rows }, (_, row) => {
    const first = Math.min(TRANSFORM / 2, Math.round(bin(row)));
    const last = Math.min(TRANSFORM / 2, Math.max(first, Math.round(bin(row + 1)) - 1));
    let power = 0;
    for (let index = first; index <= last; index++) power = Math.max(power, real[index] ** 2 + imaginary[index] ** 2);
    return 10 * Math.log10(power + 1e-12);
  });
}

const toMel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
const toHertz = (mel) => 700 * (10 ** (mel / 2595) - 1);

// Fourier transform in place; the length is a power of two.
function transform(real, imaginary) {
  const length = real.length;
  for (let index = 1, swapped = 0; index < length; index++) {
    let bit = length >> 1;
    for (; swapped & bit; bit >>= 1) swapped ^= bit;
    swapped ^= bit;
    if (index < swapped) [real[index], real[swapped]] = [real[swapped], real[index]];
  }
  for (let size = 2; size <= length; size *= 2) {
    for (let offset = 0; offset < size / 2; offset++) {
      const angle = (-2 * Math.PI * offset) / size;
      const cosine = Math.cos(angle);
      const sine = Math.sin(angle);
      for (let even = offset; even < length; even += size) {
        const odd = even + size / 2;
        const oddReal = real[odd] * cosine - imaginary[odd] * sine;
        const oddImaginary = real[odd] * sine + imaginary[odd] * cosine;
        real[odd] = real[even] - oddReal;
        imaginary[odd] = imaginary[even] - oddImaginary;
        real[even] += oddReal;
        imaginary[even] += oddImaginary;
      }
    }
  }
}

// ---------------------------------------------------------------- words

function say(text, isError = false) {
  if (page.status.textContent === text) return; // a screen reader says it once
  page.status.textContent = text;
  page.status.classList.toggle("error", isError);
}

function showFacts() {
  const percent = model.accuracy === null ? "unknown" : `${formatPercent(model.accuracy)} of ${model.test_clips} test clips`;
  const facts = {
    Network: `${model.network}, ${model.precision}, ${(model.bytes / 1024).toFixed(0)} KiB`,
    Accuracy: percent + (model.agreement ? `; ${model.agreement}` : ""),
    Classes: model.classes.map(readable).join(", "),
    Input: `${model.clip_seconds} s at ${model.sample_rate} Hz, ${model.channels === 1 ? "mono" : `${model.channels} channels`}`,
    "Front end": model.frontend,
  };
  for (const [name, value] of Object.entries(facts)) {
    add(page.facts, "dt", name);
    add(page.facts, "dd", value);
  }
  page.version.textContent = model.version;
}

function showSource(text, seconds) {
  page.result.hidden = false;
  page.source.textContent = text;
  page["scale-start"].textContent = "0:00";
  page["scale-end"].textContent = formatTime(seconds);
  page.highest.textContent = `${(model.fmax / 1000).toFixed(1)} kHz`;
  page.lowest.textContent = `${model.fmin} Hz`;
}

// Show the probabilities, and the part of the sound that they are about.
function showBars(probabilities, part) {
  const highest = best(probabilities);
  page.part.textContent = part;
  page.bars.replaceChildren();
  model.classes.forEach((name, index) => {
    const row = add(page.bars, "li");
    row.classList.toggle("best", index === highest && probabilities[index] > 0);
    add(row, "span", readable(name)).className = "name";
    const bar = add(row, "span");
    bar.className = "bar";
    add(bar, "span").style.width = `${100 * probabilities[index]}%`;
    add(row, "data", formatPercent(probabilities[index])).value = probabilities[index];
  });
}

// The answer is announced by screen readers: at the microphone it changes only with the class.
function showAnswer(probabilities) {
  const name = readable(model.classes[best(probabilities)]);
  const text = recording ? name : `${name}, ${formatPercent(Math.max(...probabilities))}`;
  if (page.answer.textContent !== text) page.answer.textContent = text;
}

function clearTimeLine() {
  segments = [];
  page.segments.replaceChildren();
  page["time-line"].hidden = true;
}

// Show one more clip. Clips in a row with the same class are one segment; its button shows its probabilities and plays
// from there.
function extendTimeLine({ probabilities, begin, end }) {
  const index = best(probabilities);
  if (segments.at(-1)?.index !== index) segments.push(startSegment(index, begin));
  const segment = segments.at(-1);
  segment.count++;
  segment.end = end;
  segment.total = segment.total.map((sum, place) => sum + probabilities[place]);
  const { item, button } = segment;
  item.style.flexGrow = end - segment.begin;
  button.title = `${timesOf(segment)}: ${button.textContent}, ${formatPercent(segment.total[index] / segment.count)}`;
  button.ariaLabel = button.title;
  page["time-line"].hidden = segments.length === 1 && segment.count === 1;
}

function startSegment(index, begin) {
  const item = add(page.segments, "li");
  const button = add(item, "button", readable(model.classes[index]));
  const segment = { index, begin, end: begin, count: 0, total: model.classes.map(() => 0), item, button };
  item.style.flexBasis = 0;
  button.type = "button";
  button.ariaPressed = "false";
  button.addEventListener("click", () => {
    for (const other of page.segments.querySelectorAll("button")) other.ariaPressed = String(other === button);
    showBars(segment.total.map((sum) => sum / segment.count), timesOf(segment));
    say(button.title);
    if (!page.player.hidden) page.player.currentTime = begin;
  });
  return segment;
}

function showLatency(decisions) {
  const times = decisions.map((decision) => decision.milliseconds).sort((a, b) => a - b);
  const middle = times[Math.floor(times.length / 2)];
  const speed = (1000 * model.clip_seconds) / middle; // 1 keeps up with the sound
  const factor = speed.toFixed(speed < 10 ? 1 : 0);
  page.latency.textContent = `Latency: ${middle.toFixed(0)} ms per clip of ${model.clip_seconds} s, ${factor} times the speed of the sound.`;
}

const readable = (name) => name.replaceAll("_", " ");
const formatPercent = (share) => `${(100 * share).toFixed(1)} %`;
const timesOf = ({ begin, end }) => `${formatTime(begin)} to ${formatTime(end)}`;
const best = (values) => values.indexOf(Math.max(...values));

function formatTime(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

// Return the mean of arrays of equal length, value by value.
function mean(arrays) {
  if (arrays.length === 1) return arrays[0];
  return arrays[0].map((_, index) => arrays.reduce((sum, array) => sum + array[index], 0) / arrays.length);
}

function add(parent, tag, text = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  parent.append(element);
  return element;
}

guard(start);
