// SPDX-License-Identifier: Apache-2.0
// The draft with its pictures: chosen, pasted anywhere on the page or dropped anywhere on it.
import { useEffect, useRef, useState } from "preact/hooks";
import type { Draft } from "./composer";
import { isPicture, kMaxPictures, loadPicture, PictureError } from "./images";
import type { Translate } from "./i18n";

function filesOf(data: DataTransfer | null): File[] {
  return [...(data?.files ?? [])];
}

export function useDraft(maxSide: number, t: Translate) {
  const [draft, setDraft] = useState<Draft>({ text: "", pictures: [] });
  const [reading, setReading] = useState(0);
  const [notice, setNotice] = useState("");
  const count = useRef(0); // pictures in the draft and on the way there
  count.current = draft.pictures.length + reading;

  const explain = (error: unknown, name: string) => {
    const problem = error instanceof PictureError ? error.problem : "unreadable";
    if (problem === "too_large") return t("pictureTooLarge", { name });
    return problem === "too_many"
      ? t("pictureTooMany", { n: kMaxPictures })
      : t("pictureUnreadable", { name });
  };

  const addFiles = async (files: File[]) => {
    const pictures = files.filter(isPicture);
    if (files.length === 0) return;
    setNotice(pictures.length === 0 ? t("notPictures") : "");
    const room = Math.max(0, kMaxPictures - count.current);
    if (pictures.length > room) setNotice(t("pictureTooMany", { n: kMaxPictures }));
    const taken = pictures.slice(0, room);
    setReading((n) => n + taken.length);
    for (const file of taken) {
      try {
        const picture = await loadPicture(file, maxSide);
        setDraft((old) => ({ ...old, pictures: [...old.pictures, picture] }));
      } catch (error) {
        setNotice(explain(error, file.name));
      } finally {
        setReading((n) => n - 1);
      }
    }
  };
  return { draft, setDraft, reading, notice, setNotice, addFiles };
}

// Returns whether files are being dragged over the page.
export function usePasteAndDrop(addFiles: (files: File[]) => void): boolean {
  const [over, setOver] = useState(false);
  const latest = useRef(addFiles);
  latest.current = addFiles;
  useEffect(() => {
    let depth = 0; // dragenter and dragleave also come for every element inside
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const paste = (event: ClipboardEvent) => {
      const files = filesOf(event.clipboardData).filter(isPicture);
      if (files.length === 0 || document.querySelector("dialog[open]")) return;
      event.preventDefault();
      latest.current(files);
    };
    const enter = (event: DragEvent) => {
      if (!carriesFiles(event)) return;
      depth += 1;
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (!carriesFiles(event)) return;
      depth = Math.max(0, depth - 1);
      if (depth === 0) setOver(false);
    };
    const hover = (event: DragEvent) => carriesFiles(event) && event.preventDefault();
    const drop = (event: DragEvent) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      depth = 0;
      setOver(false);
      latest.current(filesOf(event.dataTransfer));
    };
    document.addEventListener("paste", paste);
    window.addEventListener("dragenter", enter);
    window.addEventListener("dragleave", leave);
    window.addEventListener("dragover", hover);
    window.addEventListener("drop", drop);
    return () => {
      document.removeEventListener("paste", paste);
      window.removeEventListener("dragenter", enter);
      window.removeEventListener("dragleave", leave);
      window.removeEventListener("dragover", hover);
      window.removeEventListener("drop", drop);
    };
  }, []);
  return over;
}
