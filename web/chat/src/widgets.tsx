// SPDX-License-Identifier: Apache-2.0
// Small parts without knowledge of the conversation: buttons, dialog, menu, thumbnails, text area
// that grows.
import type {
  ButtonHTMLAttributes,
  ComponentChildren,
  TargetedKeyboardEvent,
  TextareaHTMLAttributes,
} from "preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { copyText } from "./export";
import { formatBytes } from "./api";
import { useText } from "./i18n";
import { Icon } from "./icons";
import type { Picture } from "./types";

type ButtonProps = Omit<ButtonHTMLAttributes<HTMLButtonElement>, "icon" | "label"> & {
  icon: string;
  label: string;
  showLabel?: boolean;
};

export function IconButton({ icon, label, showLabel, class: extra, ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      class={`tool ${extra ?? ""}`}
      aria-label={showLabel ? undefined : label}
      title={label}
      {...rest}
    >
      <Icon name={icon} />
      {showLabel && <span>{label}</span>}
    </button>
  );
}

export function CopyButton({ text }: { text: () => string }) {
  const t = useText();
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return undefined;
    const timer = window.setTimeout(() => setCopied(false), 1800);
    return () => window.clearTimeout(timer);
  }, [copied]);
  return (
    <IconButton
      icon={copied ? "check" : "copy"}
      label={copied ? t("copied") : t("copy")}
      onClick={async () => setCopied(await copyText(text()))}
    />
  );
}

interface DialogProps {
  title: string;
  class?: string;
  onClose: () => void;
  children: ComponentChildren;
}

// The browser's own modal dialog: it keeps the focus inside, closes on Esc and gives the focus
// back.
export function Dialog({ title, class: extra, onClose, children }: DialogProps) {
  const t = useText();
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useLayoutEffect(() => {
    const before = document.activeElement;
    ref.current?.showModal();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={extra}
      aria-labelledby={id}
      onClose={onClose}
      onMouseDown={(event) => event.target === ref.current && ref.current?.close()}
    >
      <div class="dialog-body">
        <div class="dialog-head">
          <h2 id={id}>{title}</h2>
          <IconButton icon="close" label={t("close")} onClick={() => ref.current?.close()} />
        </div>
        {children}
      </div>
    </dialog>
  );
}

interface MenuItem {
  label: string;
  action: () => void;
}

export function Menu({
  icon,
  label,
  items,
  disabled,
}: {
  icon: string;
  label: string;
  items: MenuItem[];
  disabled: boolean;
}) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = () => root.current?.querySelector<HTMLButtonElement>("button");
  useEffect(() => {
    if (!open) return undefined;
    const outside = (event: PointerEvent) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, [open]);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Escape" || !open) return;
    event.stopPropagation();
    setOpen(false);
    button()?.focus();
  };
  const onFocusOut = (event: FocusEvent) => {
    if (event.relatedTarget && !root.current?.contains(event.relatedTarget as Node)) setOpen(false);
  };
  return (
    <div class="menu" ref={root} onKeyDown={onKeyDown} onFocusOut={onFocusOut}>
      <IconButton
        icon={icon}
        label={label}
        aria-expanded={open}
        disabled={disabled}
        onClick={() => setOpen(!open)}
      />
      {open && (
        <div class="menu-panel">
          {items.map((item) => (
            <button
              type="button"
              key={item.label}
              onClick={() => {
                setOpen(false);
                item.action();
                button()?.focus();
              }}
            >
              {item.label}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

export function Thumbnails({
  pictures,
  onRemove,
}: {
  pictures: Picture[];
  onRemove?: (id: string) => void;
}) {
  const t = useText();
  const [open, setOpen] = useState<Picture | null>(null);
  if (pictures.length === 0) return null;
  return (
    <>
      <ul class="thumbnails" aria-label={t("pictures")}>
        {pictures.map((picture) => {
          const size = `${picture.width} × ${picture.height}`;
          const shown = picture.reduced ? t("reducedTo", { size }) : size;
          const note = `${picture.name}, ${shown}, ${formatBytes(picture.bytes)}`;
          return (
            <li key={picture.id}>
              <button
                type="button"
                class="thumbnail"
                title={note}
                aria-label={t("openPicture", { name: picture.name })}
                onClick={() => setOpen(picture)}
              >
                <img src={picture.dataUrl} alt="" />
              </button>
              {onRemove && (
                <button
                  type="button"
                  class="remove"
                  aria-label={t("remove", { name: picture.name })}
                  title={t("remove", { name: picture.name })}
                  onClick={() => onRemove(picture.id)}
                >
                  <Icon name="close" />
                </button>
              )}
            </li>
          );
        })}
      </ul>
      {open && (
        <Dialog title={open.name} class="lightbox" onClose={() => setOpen(null)}>
          <img src={open.dataUrl} alt={open.name} />
          <p class="muted">
            {open.width} × {open.height} · {formatBytes(open.bytes)}
          </p>
        </Dialog>
      )}
    </>
  );
}

type AreaProps = Omit<
  TextareaHTMLAttributes<HTMLTextAreaElement>,
  "value" | "onSubmit" | "label"
> & {
  value: string;
  label: string;
  area?: { current: HTMLTextAreaElement | null };
  onText: (text: string) => void;
  onEnter: () => void;
};

// Enter sends, Shift + Enter starts a new line. While an input method composes (Chinese, Japanese),
// Enter belongs to it.
export function GrowingArea({
  value,
  label,
  area,
  onText,
  onEnter,
  onKeyDown,
  ...rest
}: AreaProps) {
  const own = useRef<HTMLTextAreaElement>(null);
  const ref = area ?? own;
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    element.style.height = "auto";
    element.style.height = `${element.scrollHeight}px`;
  }, [value]);
  const keyDown = (event: TargetedKeyboardEvent<HTMLTextAreaElement>) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
      event.preventDefault();
      onEnter();
      return;
    }
    onKeyDown?.(event as never);
  };
  return (
    <textarea
      ref={ref}
      rows={1}
      value={value}
      aria-label={label}
      dir="auto"
      onInput={(e) => onText(e.currentTarget.value)}
      onKeyDown={keyDown}
      {...rest}
    />
  );
}
