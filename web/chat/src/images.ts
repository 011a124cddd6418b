// SPDX-License-Identifier: Apache-2.0
// Pictures from files: made smaller in the browser where that saves the server time. A picture that
// fits already is sent as it is.
import type { Picture } from "./types";

export const kMaxPictures = 8; // per question
export const kMaxFileBytes = 50 * 1024 * 1024; // before anything is decoded
const kMaxSentBytes = 8 * 1024 * 1024;
const kMaxSentSide = 8192;
const kJpegQuality = 0.92;
const kSentAsIs = ["image/jpeg", "image/png", "image/webp"];

export type PictureProblem = "too_many" | "too_large" | "unreadable";

export class PictureError extends Error {
  constructor(
    readonly problem: PictureProblem,
    readonly fileName: string,
  ) {
    super(problem);
  }
}

export const isPicture = (file: File) => file.type.startsWith("image/");

function readAsDataUrl(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

async function decode(
  file: File,
): Promise<{ image: CanvasImageSource; width: number; height: number; close: () => void }> {
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    return {
      image: bitmap,
      width: bitmap.width,
      height: bitmap.height,
      close: () => bitmap.close(),
    };
  } catch {
    // SVG and some others decode only as an element.
    const url = URL.createObjectURL(file);
    const element = new Image();
    element.src = url;
    try {
      await element.decode();
    } catch {
      throw new PictureError("unreadable", file.name);
    } finally {
      URL.revokeObjectURL(url);
    }
    const [width, height] = [element.naturalWidth || 512, element.naturalHeight || 512];
    return { image: element, width, height, close: () => undefined };
  }
}

function draw(image: CanvasImageSource, width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) throw new Error("the browser gives no 2D canvas");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff"; // transparent parts become white, as on the server
  context.fillRect(0, 0, width, height);
  context.drawImage(image, 0, 0, width, height);
  return canvas;
}

const encode = (canvas: HTMLCanvasElement, type: string) =>
  new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, type, kJpegQuality));

// Sharp edges (screenshots, documents) survive as PNG; photographs are smaller as JPEG.
async function encodeSmallest(canvas: HTMLCanvasElement, sourceType: string): Promise<Blob | null> {
  if (sourceType !== "image/jpeg") {
    const png = await encode(canvas, "image/png");
    if (png && png.size <= kMaxSentBytes / 4) return png;
  }
  return encode(canvas, "image/jpeg");
}

export async function loadPicture(file: File, maxSide: number): Promise<Picture> {
  if (file.size > kMaxFileBytes) throw new PictureError("too_large", file.name);
  const { image, width, height, close } = await decode(file);
  try {
    if (width < 1 || height < 1) throw new PictureError("unreadable", file.name);
    const limit = Math.min(maxSide > 0 ? maxSide : kMaxSentSide, kMaxSentSide);
    const scale = Math.min(1, limit / Math.max(width, height));
    const common = {
      id: crypto.randomUUID?.() ?? String(Math.random()),
      name: file.name || "picture",
    };
    if (scale === 1 && kSentAsIs.includes(file.type) && file.size <= kMaxSentBytes) {
      return {
        ...common,
        dataUrl: await readAsDataUrl(file),
        width,
        height,
        bytes: file.size,
        reduced: false,
      };
    }
    const [w, h] = [
      Math.max(1, Math.round(width * scale)),
      Math.max(1, Math.round(height * scale)),
    ];
    const blob = await encodeSmallest(draw(image, w, h), file.type);
    if (!blob) throw new PictureError("unreadable", file.name);
    if (blob.size > kMaxSentBytes) throw new PictureError("too_large", file.name);
    return {
      ...common,
      dataUrl: await readAsDataUrl(blob),
      width: w,
      height: h,
      bytes: blob.size,
      reduced: scale < 1,
    };
  } finally {
    close();
  }
}
