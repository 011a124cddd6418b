// SPDX-License-Identifier: Apache-2.0
// State of the page that is no part of the conversation: the server, the scroll position, keys and
// clicks that belong to the whole page, settings.
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, loadServer } from "./api";
import type { Conversation } from "./conversation";
import { copyText } from "./export";
import { loadSettings, saveSettings } from "./storage";
import type { Problem, ServerInfo, Settings } from "./types";

export function useServer(key: string) {
  const [info, setInfo] = useState<ServerInfo | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [tries, setTries] = useState(0);
  useEffect(() => {
    let current = true;
    const take = (loaded: ServerInfo | null, failure: Problem | null) => {
      if (!current) return;
      if (loaded) setInfo(loaded);
      setProblem(failure);
    };
    loadServer(key).then(
      (loaded) => take(loaded, null),
      (error: unknown) =>
        take(
          null,
          error instanceof ApiError ? error.problem : { kind: "format", detail: String(error) },
        ),
    );
    return () => {
      current = false;
    };
  }, [key, tries]);
  return { info, problem, retry: () => setTries(tries + 1) };
}

// Keeps the end in view while an answer grows, unless somebody scrolled up to read. Returns whether
// the end is out of view.
export function useFollow(active: boolean): [boolean, () => void] {
  const following = useRef(true);
  const [away, setAway] = useState(false);
  const toEnd = () =>
    window.scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
  useEffect(() => {
    if (!active) return undefined;
    let last = window.scrollY;
    const rest = () =>
      document.documentElement.scrollHeight -
      document.documentElement.clientHeight -
      window.scrollY;
    // Only a movement upwards is somebody's wish: the rest also grows when text arrives before the
    // event of an own movement.
    const onScroll = () => {
      if (window.scrollY < last - 2) following.current = rest() < 40;
      else if (rest() < 40) following.current = true;
      last = window.scrollY;
      setAway(rest() > 200 && !following.current);
    };
    const grown = new ResizeObserver(() => following.current && toEnd());
    grown.observe(document.body);
    window.addEventListener("scroll", onScroll, { passive: true });
    return () => {
      grown.disconnect();
      window.removeEventListener("scroll", onScroll);
    };
  }, [active]);
  const follow = () => {
    following.current = true;
    toEnd();
  };
  return [away, follow];
}

// Esc stops the answer; a click on the button of a code block copies it.
export function usePageEvents(chat: Conversation, copied: string): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Escape" || event.isComposing || document.querySelector("dialog[open]"))
        return;
      if (chat.busy) chat.stop();
    };
    const onClick = async (event: MouseEvent) => {
      const button = (event.target as Element).closest?.("button[data-copy]");
      const code = button?.closest(".code")?.querySelector("code");
      if (!button || !code || !(await copyText(code.textContent ?? ""))) return;
      const label = button.textContent;
      button.textContent = copied;
      window.setTimeout(() => (button.textContent = label), 1800);
    };
    document.addEventListener("keydown", onKey);
    document.addEventListener("click", onClick);
    return () => {
      document.removeEventListener("keydown", onKey);
      document.removeEventListener("click", onClick);
    };
  }, [chat, copied]);
}

export function useSettings(): [Settings, (settings: Settings) => void] {
  const [settings, setSettings] = useState(loadSettings);
  return [
    settings,
    (changed) => {
      saveSettings(changed);
      setSettings(changed);
    },
  ];
}
