"""The protocols, the lifts from strategies to systems, trees and user errors."""
