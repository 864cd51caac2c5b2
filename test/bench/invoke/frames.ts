/** Frames on a stream: u32 length, then the bytes. */
import type { Socket } from "node:net";

export function writeFrame(socket: Socket, frame: Uint8Array): void {
  const message = Buffer.allocUnsafe(4 + frame.length);
  message.writeUInt32BE(frame.length);
  message.set(frame, 4);
  socket.write(message);
}

export function readFrames(socket: Socket, heard: (frame: Buffer) => void): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.on("data", (part: Buffer) => {
    const bytes = rest.length === 0 ? part : Buffer.concat([rest, part]);
    let at = 0;
    while (at + 4 <= bytes.length) {
      const end = at + 4 + bytes.readUInt32BE(at);
      if (end > bytes.length) break;
      heard(bytes.subarray(at + 4, end));
      at = end;
    }
    rest = bytes.subarray(at);
  });
}
