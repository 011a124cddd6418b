// SPDX-License-Identifier: Apache-2.0
// Theme and language: by the system and the browser until somebody chooses.
import { useEffect, useState } from "preact/hooks";
import { browserLanguage, type Language } from "./i18n";
import { loadChoice, saveChoice } from "./storage";

export type Theme = "auto" | "light" | "dark";
const kThemes: Theme[] = ["auto", "light", "dark"];

export function useTheme(): [Theme, () => void] {
  const [theme, setTheme] = useState<Theme>(
    () => kThemes.find((name) => name === loadChoice("theme")) ?? "auto",
  );
  const media = window.matchMedia("(prefers-color-scheme: dark)");
  const [systemDark, setSystemDark] = useState(media.matches);
  useEffect(() => {
    const listen = (event: MediaQueryListEvent) => setSystemDark(event.matches);
    media.addEventListener("change", listen);
    return () => media.removeEventListener("change", listen);
  }, []);
  document.documentElement.dataset.theme =
    theme === "auto" ? (systemDark ? "dark" : "light") : theme;
  const next = () => {
    const chosen = kThemes[(kThemes.indexOf(theme) + 1) % kThemes.length];
    saveChoice("theme", chosen === "auto" ? null : chosen);
    setTheme(chosen);
  };
  return [theme, next];
}

export function useLanguage(): [Language, () => void] {
  const [language, setLanguage] = useState<Language>(() => {
    const chosen = loadChoice("language");
    return chosen === "en" || chosen === "zh" ? chosen : browserLanguage();
  });
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  const toggle = () => {
    const other = language === "zh" ? "en" : "zh";
    saveChoice("language", other);
    setLanguage(other);
  };
  return [language, toggle];
}
