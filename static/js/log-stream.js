// The log as it grows: a websocket that resumes at the next byte, and plain requests while there is none.
const PIECE = 256 * 1024;
const LONGEST_PAUSE = 10000;

export class LogStream {
  constructor({ experiment, attempt, next, onText, onState, onLive, onRestart }) {
    Object.assign(this, { experiment, attempt, next, onText, onState, onLive, onRestart });
    this.pause = 500;
    this.done = false;
  }

  /** Read everything stored from `next` on; true when nothing will ever follow. */
  async catchUp(upTo = Infinity) {
    for (;;) {
      const query = new URLSearchParams({ offset: this.next, limit: PIECE, attempt: this.attempt });
      const answer = await fetch(`/api/v2/experiments/${this.experiment}/logs/?${query}`, { credentials: "same-origin" });
      if (!answer.ok) throw new Error(`the log answered ${answer.status}`);
      const piece = await answer.json();
      this.take(piece.offset, piece.next_offset, piece.data);
      if (piece.eof) return true;
      if (!piece.data || this.next >= upTo) return false;
    }
  }

  take(offset, next, text) {
    if (offset !== this.next || !text) return;
    this.next = next;
    this.onText(text);
  }

  follow() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const query = new URLSearchParams({ offset: this.next, attempt: this.attempt });
    const socket = new WebSocket(`${scheme}://${location.host}/ws/experiments/${this.experiment}/logs/?${query}`);
    socket.onopen = () => {
      this.pause = 500;
      this.onLive("on", "Live");
    };
    socket.onmessage = (event) => this.read(JSON.parse(event.data), socket);
    socket.onclose = (event) => this.again(event.code);
  }

  read(frame, socket) {
    if (frame.type === "log" && frame.attempt === this.attempt) {
      if (frame.offset > this.next) return socket.close();
      this.take(frame.offset, frame.next, frame.data);
    } else if (frame.type === "log" && frame.attempt > this.attempt) {
      this.finish(socket);
      this.onRestart(frame.attempt);
    } else if (frame.type === "state") this.onState(frame);
    else if (frame.type === "eof" && frame.attempt === this.attempt) this.finish(socket);
  }

  finish(socket) {
    this.done = true;
    socket?.close();
    this.onLive("", "Complete");
  }

  async again(code) {
    if (this.done) return;
    if (code === 4401 || code === 4403 || code === 4404) return this.onLive("", "No longer allowed");
    this.onLive("retry", "Reconnecting");
    await new Promise((resolve) => setTimeout(resolve, this.pause));
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE);
    try {
      if (await this.catchUp()) return this.finish();
    } catch {
      return this.again(0);
    }
    return this.follow();
  }
}
