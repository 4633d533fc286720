// Sends the samples of the microphone to the page.

const SIZE = 2048; // samples of a message, a multiple of the 128 of a block

class Recorder extends AudioWorkletProcessor {
  kept = [];
  count = 0;

  process([channels]) {
    if (channels.length !== this.kept.length) {
      this.kept = channels.map(() => new Float32Array(SIZE));
      this.count = 0;
    }
    if (channels.length === 0) return true;
    channels.forEach((channel, row) => this.kept[row].set(channel, this.count));
    this.count += channels[0].length;
    if (this.count === SIZE) {
      this.port.postMessage(this.kept);
      this.count = 0;
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
